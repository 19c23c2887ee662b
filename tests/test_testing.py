"""Tests of the contract suites: a plug-in broken on purpose fails, in the test that is there for it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.evaluator import DistillRun, Evaluator
from ddbench.method import METHODS, Foundation, Method, RunContext
from ddbench.records import DistilledDataset, LabeledImages, Metric, RealDataset
from ddbench.registry import EVALUATORS
from ddbench.testing import EvaluatorContract, run_contract

SHAPE = "test_set_has_the_shape_asked_for"
ON_CPU = "test_set_is_on_the_cpu_without_gradient"
SAME_SEED = "test_same_seed_gives_the_same_set"
OTHER_SEEDS = "test_other_seeds_give_other_sets"
UNTOUCHED = "test_training_data_and_global_generators_are_untouched"
CONFIG = "test_config_is_frozen_complete_and_storable"
TOO_MANY = "test_too_many_images_are_refused_with_a_reason_or_made"
ROUND_TRIP = "test_set_survives_a_round_trip_through_files"
GLOBALS = "test_set_does_not_follow_from_global_generators"
CLOCK = "test_set_does_not_follow_from_the_clock"
TRAINING_SPLIT = "test_only_the_training_split_is_seen"
OUTSIDE = "test_nothing_is_written_outside_its_context"
SETTINGS = "test_what_is_prepared_depends_on_every_setting_but_those_named"
KEPT = "test_a_kept_folder_gives_what_an_empty_cache_gives"
TRIALS = {SHAPE, ON_CPU, SAME_SEED, OTHER_SEEDS, UNTOUCHED, GLOBALS, CLOCK, TRAINING_SPLIT, OUTSIDE, ROUND_TRIP}
EVERY = {*TRIALS, CONFIG, TOO_MANY, SETTINGS, KEPT}


class Sound(Method):
    """Draws real images of each class, as a method should; the broken ones change one thing."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.randperm(count, generator=ctx.generator)

    def chosen(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Tensor:
        classes = [train.of_class(label) for label in range(train.num_classes)]
        return torch.cat([indices[self.order(len(indices), ctx)[:ipc]] for indices in classes])

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        chosen = self.chosen(train, ipc, ctx)
        return DistilledDataset(train.normalised(chosen), train.labels[chosen], train.num_classes, ipc)


class GlobalTorch(Sound):
    """Draws from torch's global generator."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.randperm(count)


class SeededGlobalTorch(Sound):
    """Seeds torch's global generator from its own and draws from it."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        torch.manual_seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.randperm(count)


class SeededGlobalNumpy(Sound):
    """The same with NumPy's."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        np.random.seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.from_numpy(np.random.permutation(count))


class SeededGlobalPython(Sound):
    """The same with Python's."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        random.seed(int(torch.randint(2**31, (), generator=ctx.generator)))
        return torch.tensor(random.sample(range(count), count))


class IgnoresSeed(Sound):
    """Takes the first images."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return torch.arange(count)


class WritesToImages(Sound):
    """Makes the same change in every run, so that no run after the first changes anything."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        train.images[0].fill_(7)
        return super().distill(train, ipc, ctx)


class WritesToLabels(Sound):
    """Changes labels of the training data, the same way in every run."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        made = super().distill(train, ipc, ctx)
        train.labels.clamp_(max=8)
        return made


class UnevenClasses(Sound):
    """Gives some classes more images than others."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        made = super().distill(train, ipc, ctx)
        return replace(made, labels=made.labels.roll(1).where(made.labels == 0, made.labels))


class OtherIpc(Sound):
    """Makes more images than asked for, and says so."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        return super().distill(train, ipc + 1, ctx)


class KeepsGradient(Sound):
    """Returns images that still require a gradient."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        made = super().distill(train, ipc, ctx)
        return replace(made, images=made.images.requires_grad_())


class PromisesTooMuch(Sound):
    """Accepts any IPC and fails where images run out."""

    def unsupported(self, train: LabeledImages, ipc: int) -> None:
        return None


class RefusesWithoutReason(Sound):
    """Refuses without a reason that helps."""

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        return "no" if ipc > 100 else None


class UnstorableSettings(Sound):
    """Has a setting that JSON turns into something else."""

    @dataclass(frozen=True)
    class Config:
        """A setting that JSON turns into something else."""

        sides: tuple[int, ...] = (1, 2)


class ThawedSettings(Sound):
    """Has settings that can be changed afterwards."""

    @dataclass
    class Config:
        """Settings that can be changed afterwards."""

        steps: int = 3


class PreparesByUnknownFields(Sound):
    """Names a setting that it does not have."""

    prepare_ignores = ("depth",)


class Preparing(Sound):
    """Prepares the number of the first image to choose, as a method should; the broken ones change one thing."""

    @dataclass(frozen=True)
    class Config:
        """`epochs` are of the preparation, `offset` is not."""

        epochs: int = 1
        offset: int = 0

    prepare_ignores = ("offset",)

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        (ctx.cache_dir / "first.txt").write_text(str(self.config.epochs), encoding="utf-8")
        return ctx.cache_dir

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        first = int((ctx.prepared / "first.txt").read_text(encoding="utf-8")) + self.config.offset
        classes = [train.of_class(label) for label in range(train.num_classes)]
        orders = [self.order(len(indices), ctx) for indices in classes]
        chosen = torch.cat([indices[order.roll(-first)[:ipc]] for indices, order in zip(classes, orders, strict=True)])
        return DistilledDataset(train.normalised(chosen), train.labels[chosen], train.num_classes, ipc)


class ForgetsASetting(Preparing):
    """Says that what it prepares does not depend on a setting on which it does."""

    prepare_ignores = ("epochs", "offset")


class ForgetsASettingOfItsFoundation(Preparing):
    """Lays a foundation whose settings lack one."""

    def foundation(self) -> Foundation:
        return Foundation("first", {}, super().prepare)

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        (ctx.cache_dir / "first.txt").write_bytes((ctx.foundation / "first.txt").read_bytes())
        return ctx.cache_dir


class ReadsTestSplit(Sound):
    """Loads the data set that it was given a part of."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        assert len(load_dataset(train.info.name).test)
        return super().distill(train, ipc, ctx)


class ForksGlobalTorch(Sound):
    """Draws from the global generator and leaves it as it was."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            return torch.randperm(count).roll(int(torch.randint(count, (), generator=ctx.generator)))


class ReadsTheClock(Sound):
    """Takes other images every day."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return super().order(count, ctx).roll(int(time.time() // 86_400) % count)


class ReadsTheCalendar(Sound):
    """Takes other images every year."""

    def order(self, count: int, ctx: RunContext) -> Tensor:
        return super().order(count, ctx).roll(datetime.now(UTC).year % count)


class WritesIntoTheWorkingFolder(Sound):
    """Leaves a file where the user happens to be."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        Path("notes.txt").write_text("1", encoding="utf-8")
        return super().distill(train, ipc, ctx)


class WritesIntoTheHomeFolder(Sound):
    """Keeps a cache of its own, written by a library that does not tell Python."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        folder = Path.home() / ".mine"
        folder.mkdir(exist_ok=True)
        save_file({"images": torch.zeros(1)}, folder / "kept.safetensors")
        return super().distill(train, ipc, ctx)


class WritesBesideItsFile(Sound):
    """Removes its traces, which do harm where a package cannot be written to."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        path = Path(__file__).with_name(".kept-by-a-method")
        path.write_text("1", encoding="utf-8")
        path.unlink()
        return super().distill(train, ipc, ctx)


class UnstorableProvenance(Sound):
    """Adds to the provenance what JSON cannot hold."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        return super().distill(train, ipc, ctx).with_provenance(network=torch.nn.Identity())


class Crashes(Sound):
    """Makes nothing."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        raise RuntimeError("broken")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working and a home folder of each test's own: some of the broken methods write into them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def failures(method: type[Method], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Run the contract suite on a method registered for this test; return the names of the tests that failed."""
    monkeypatch.setitem(METHODS._entries, "candidate", method)
    outcomes = {f"test_{outcome.rule.replace(' ', '_')}": outcome for outcome in run_contract("method", "candidate")}
    assert set(outcomes) >= EVERY
    for outcome in outcomes.values():
        assert outcome.holds == (not outcome.reason) == (not outcome.traceback)
        assert "\n" not in outcome.reason
    return {name for name, outcome in outcomes.items() if not outcome.holds}


@pytest.mark.parametrize("method", [Sound, Preparing])
def test_a_sound_method_passes(method, monkeypatch):
    assert failures(method, monkeypatch) == set()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (GlobalTorch, {SAME_SEED, UNTOUCHED, GLOBALS}),
        (ForksGlobalTorch, {GLOBALS}),
        (ForgetsASetting, {KEPT}),
        (ForgetsASettingOfItsFoundation, {KEPT}),
        (ReadsTestSplit, {TRAINING_SPLIT}),
        (ReadsTheClock, {CLOCK}),
        (ReadsTheCalendar, {CLOCK}),
        (WritesIntoTheWorkingFolder, {OUTSIDE}),
        (WritesIntoTheHomeFolder, {OUTSIDE}),
        (WritesBesideItsFile, {OUTSIDE}),
        (SeededGlobalTorch, {UNTOUCHED}),
        (SeededGlobalNumpy, {UNTOUCHED}),
        (SeededGlobalPython, {UNTOUCHED}),
        (IgnoresSeed, {OTHER_SEEDS}),
        (WritesToImages, {UNTOUCHED}),
        (WritesToLabels, {UNTOUCHED}),
        (UnevenClasses, {SHAPE}),
        (OtherIpc, {SHAPE}),
        (KeepsGradient, {ON_CPU}),
        (PromisesTooMuch, {TOO_MANY}),
        (RefusesWithoutReason, {TOO_MANY}),
        (UnstorableSettings, {CONFIG}),
        (ThawedSettings, {CONFIG}),
        (PreparesByUnknownFields, {CONFIG}),
        (UnstorableProvenance, {ROUND_TRIP}),
        (Crashes, TRIALS),
    ],
)
def test_a_broken_method_fails_where_it_is_broken(method, expected, monkeypatch):
    found = failures(method, monkeypatch)
    assert found >= expected
    # What is broken may show in further places, but not everywhere.
    assert method is Crashes or found != EVERY


class Constant(Evaluator):
    """A sound evaluator; the broken ones change one thing."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        return (Metric(name="half", unit="fraction", higher_is_better=True, values=self.values()),)

    def values(self) -> tuple[float, ...]:
        return (0.5,)


class NamedTwice(Constant):
    """Gives two metrics of one name."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return super().evaluate(*arguments) * 2


class WithoutUnit(Constant):
    """Gives a metric without a unit."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return (super().evaluate(*arguments)[0].model_copy(update={"unit": ""}),)


class ChangesTheSet(Constant):
    """Changes the set it judges."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        run.distilled.images.zero_()
        return super().evaluate(run, real, ctx)


class MeasuresNothing(Constant):
    """Gives no metric."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return ()


class NotANumber(Constant):
    """Gives NaN."""

    def values(self) -> tuple[float, ...]:
        return (float("nan"),)


class NoValues(Constant):
    """Gives a metric without values."""

    def values(self) -> tuple[float, ...]:
        return ()


class GloballyRandom(Constant):
    """Draws from the global generator."""

    def values(self) -> tuple[float, ...]:
        return (torch.rand(()).item(),)


def suite_of(evaluator: type[Evaluator], monkeypatch: pytest.MonkeyPatch) -> EvaluatorContract:
    monkeypatch.setitem(EVALUATORS._entries, "candidate", evaluator)
    return type("Candidate", (EvaluatorContract,), {"name": "candidate"})()


def test_a_sound_evaluator_passes(monkeypatch):
    suite = suite_of(Constant, monkeypatch)
    suite.test_metrics_are_finite_and_named_once()
    suite.test_same_seed_gives_the_same_metrics()


@pytest.mark.parametrize("broken", [NamedTwice, WithoutUnit, ChangesTheSet, MeasuresNothing, NotANumber, NoValues])
def test_an_evaluator_of_unusable_metrics_fails(broken, monkeypatch):
    with pytest.raises(AssertionError):
        suite_of(broken, monkeypatch).test_metrics_are_finite_and_named_once()


def test_an_evaluator_that_is_random_fails(monkeypatch):
    with pytest.raises(AssertionError):
        suite_of(GloballyRandom, monkeypatch).test_same_seed_gives_the_same_metrics()
