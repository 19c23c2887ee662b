"""Tests of trajectory matching: draws, what travels, how explosions end; settings stand in `test_mtt_settings`.

Whole runs stand in tests/golden.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ddbench.augment.dsa import draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.augment.zca import whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.native import find_compiler
from ddbench.errors import DivergedError
from ddbench.images import LabeledImages
from ddbench.method import RunContext, config_of, make_method
from ddbench.methods._trajectories import matching
from ddbench.methods._trajectories.expert_files import find_whitening
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, MetaGradient, Segment, StudentBatch
from tests._keeper import Keeper, KilledError

pytestmark = pytest.mark.usefixtures("own_cache")

SMALL = {
    "network": "convnet-d1-w8",
    "zca": False,
    "num_experts": 3,
    "trajectory_epochs": 4,
    "trajectory_batch_size": 10,
    "trajectory_lr": 0.05,
    "expert_epochs": 2,
    "max_start_epoch": 2,
    "steps": 1,
    "syn_steps": 3,
    "image_lr": 5.0,
    "start_lr": 0.1,
    "lr_lr": 1e-4,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Folders of experts prepared so far, by data set and setting: tests only read them."""
    return {"root": tmp_path_factory.mktemp("experts")}


@pytest.fixture
def run(toy, context, folders):
    """A function that distils, its experts prepared with seed 3; distillation draws from seed 21."""

    def distil(
        train: LabeledImages = toy, ipc: int = 2, seed: int = 21, track=None, log=None, **settings: object
    ) -> DistilledDataset:
        method = make_method("mtt", {**SMALL, **settings})
        config = config_of(method)
        key = train.info.name, *(value for name, value in config.items() if name not in method.prepare_ignores)
        if key not in folders:
            folder = folders["root"] / str(len(folders))
            folder.mkdir()
            method.prepare(train, replace(context, cache_dir=folder, generator=seeded(3)))
            folders[key] = folder
        changes = {name: value for name, value in (("track", track), ("log", log)) if value is not None}
        ctx = replace(context, prepared=folders[key], generator=seeded(seed), **changes)
        return method.distill(train, ipc, ctx)

    return distil


class Watched:
    """A way to the gradient that takes down what it was asked, and may answer something else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer=None) -> None:
        self.images: list[Tensor] = []
        self.lrs: list[float] = []
        self.segments: list[Segment] = []
        self.batches: list[list[StudentBatch]] = []
        self.found: list[MetaGradient] = []
        self._answer = answer
        monkeypatch.setitem(META_GRADIENTS, "adjoint", self)

    def __call__(self, network, images, lr, segment, batches) -> MetaGradient:
        self.images.append(images.clone())
        self.lrs.append(lr.item())
        self.segments.append(segment)
        self.batches.append(list(batches))
        found = META_GRADIENTS["unrolled"](network, images, lr, segment, batches)
        if self._answer is not None:
            found = self._answer(len(self.images) - 1, found)
        self.found.append(found)
        return found


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_images_start_from_distinct_real_images_of_their_class(zca, run, toy, folders):
    distilled = run(ipc=3, zca=zca, image_lr=1e-12)
    assert distilled.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    real = whiten(toy.images, distilled.whitening) if zca else toy.normalised()
    found = [int((real - image).abs().flatten(1).amax(1).argmin()) for image in distilled.images]
    torch.testing.assert_close(distilled.images, real[found], rtol=0, atol=1e-6)
    assert toy.labels[found].tolist() == distilled.labels.tolist()
    assert len(set(found)) == 9


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_space_and_learned_rate_travel_with_the_set(zca, run, folders, monkeypatch):
    watched = Watched(monkeypatch)
    distilled = run(zca=zca, steps=3)
    assert distilled.space == ("zca" if zca else "normalised")
    assert (distilled.whitening is not None) == zca
    if zca:
        prepared = next(value for key, value in folders.items() if key != "root" and key[2] is True)
        assert distilled.whitening.hash == find_whitening(prepared).hash
    assert distilled.images.dtype == torch.float32
    assert distilled.images.shape == (6, 3, 8, 8)
    assert (distilled.ipc, distilled.num_classes) == (2, 3)
    assert distilled.student_lr not in watched.lrs
    assert distilled.student_lr != pytest.approx(SMALL["start_lr"], rel=1e-4)
    student = "native" if find_compiler() else "eager"
    assert distilled.provenance["engine"] == {"matching": "adjoint", "student": student}


def test_same_draws_give_the_same_images_and_others_give_others(run):
    first, again, other = run(steps=3), run(steps=3), run(steps=3, seed=22)
    assert torch.equal(first.images, again.images)
    assert first.student_lr == again.student_lr
    assert not torch.equal(first.images, other.images)


def test_the_second_step_keeps_half_of_the_firsts_speed(run, monkeypatch):
    watched = Watched(monkeypatch)
    distilled = run(steps=2)
    first, second = watched.found
    moved = distilled.images - watched.images[1]
    torch.testing.assert_close(moved, -5.0 * (second.images + 0.5 * first.images), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(watched.images[1] - watched.images[0], -5.0 * first.images, rtol=1e-3, atol=1e-5)
    lr = watched.lrs[0] - 1e-4 * first.lr.item()
    assert watched.lrs[1] == pytest.approx(lr, rel=1e-6)
    assert distilled.student_lr == pytest.approx(lr - 1e-4 * (second.lr + 0.5 * first.lr).item(), rel=1e-6)


def test_momentum_and_rates_are_the_settings(run, monkeypatch):
    watched = Watched(monkeypatch)
    distilled = run(steps=2, image_momentum=0.0, lr_momentum=0.9, image_lr=2.0, lr_lr=1e-5)
    first, second = watched.found
    torch.testing.assert_close(distilled.images - watched.images[1], -2.0 * second.images, rtol=1e-3, atol=1e-5)
    expected = watched.lrs[1] - 1e-5 * (second.lr + 0.9 * first.lr).item()
    assert distilled.student_lr == pytest.approx(expected, rel=1e-6)


def test_the_images_of_the_last_step_are_returned(run, monkeypatch):
    losses = iter([0.1, 0.2, 0.9])
    watched = Watched(monkeypatch, lambda step, found: replace(found, loss=torch.tensor(next(losses))))
    distilled = run(steps=3)
    assert not any(torch.equal(distilled.images, images) for images in watched.images)


@pytest.mark.parametrize(("size", "steps"), [(2, 6), (4, 7), (5, 3), (None, 3), (99, 2)])
def test_batches_go_through_the_whole_set_before_they_start_over(size, steps, run, monkeypatch):
    watched = Watched(monkeypatch)
    run(syn_batch_size=size, syn_steps=steps, steps=2)
    used = min(size or 6, 6)
    sizes = [min(used, 6 - first) for first in range(0, 6, used)]
    for batches in watched.batches:
        assert [len(batch.indices) for batch in batches] == (sizes * steps)[:steps]
        for first in range(0, steps, len(sizes)):
            passed = torch.cat([batch.indices for batch in batches[first : first + len(sizes)]]).tolist()
            assert len(set(passed)) == len(passed)
        for batch in batches:
            assert batch.labels.tolist() == [index // 2 for index in batch.indices.tolist()]
            assert len(batch.draw.params) == len(batch.indices)
    orders = [torch.cat([batch.indices for batch in batches]).tolist() for batches in watched.batches]
    assert orders[0] != orders[1]


def test_segments_start_early_and_end_expert_epochs_later(run, folders, monkeypatch):
    watched = Watched(monkeypatch, lambda step, found: replace(found, images=found.images * 0, lr=found.lr * 0))
    run(steps=40, syn_steps=1)
    folder = next(value for key, value in folders.items() if key[:3] == ("toy", "convnet-d1-w8", False))
    experts = [load_file(folder / f"expert-00{index}.safetensors")["trajectory"] for index in range(3)]
    seen = set()
    for segment in watched.segments:
        found = [
            (index, start)
            for index, rows in enumerate(experts)
            for start in range(len(rows) - 2)
            if torch.equal(segment.start, rows[start]) and torch.equal(segment.target, rows[start + 2])
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == {(index, start) for index in range(3) for start in range(2)}


@pytest.mark.parametrize(("mirrored", "expected"), [(True, DSA_STRATEGY), (False, DSA_STRATEGY_NO_FLIP)])
def test_students_see_the_augmentation_of_the_data_set(mirrored, expected, run, toy, monkeypatch):
    asked = []

    def watch(generator, strategy, num_images, *, siamese=False):
        asked.append((strategy, num_images, siamese))
        return draw_dsa(generator, strategy, num_images, siamese=siamese)

    monkeypatch.setattr(matching, "draw_dsa", watch)
    run(replace(toy, info=replace(toy.info, may_be_mirrored=mirrored)))
    assert asked == [(expected, 6, False)] * 3


@pytest.mark.parametrize("way", ["unrolled", "tesla"])
def test_the_gradient_setting_chooses_the_way(way, run, monkeypatch):
    calls = []
    chosen = META_GRADIENTS[way]

    def watch(*args):
        calls.append(way)
        return chosen(*args)

    exact = run()
    monkeypatch.setitem(META_GRADIENTS, way, watch)
    distilled = run(gradient=way)
    assert calls == [way]
    assert distilled.provenance["engine"]["matching"] == way
    assert torch.allclose(distilled.images, exact.images, rtol=1e-3, atol=1e-4) == (way == "unrolled")


def test_an_unlearned_rate_stays_where_it_starts(run):
    assert run(steps=2, lr_lr=0.0).student_lr == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("end", ["min_student_lr", "max_student_lr"])
def test_the_ends_of_the_rates_range_belong_to_it(end, run):
    assert run(lr_lr=0.0, **{end: 0.1}).student_lr == pytest.approx(0.1)


def diverged(run, message: str, **settings: object) -> DistilledDataset:
    """The last good set of a run that must diverge, its message of one line matched."""
    with pytest.raises(DivergedError, match=message) as caught:
        run(**settings)
    text = str(caught.value)
    assert "\n" not in text
    assert any(
        advice in text for advice in ("lower image_lr, lr_lr or start_lr", "lower lr_lr or start_lr", "raise start_lr")
    )
    good = caught.value.last_good
    assert good.images.isfinite().all()
    assert settings.get("min_student_lr", 1e-5) <= good.student_lr <= settings.get("max_student_lr", 1.0)
    return good


def test_a_rate_that_leaves_its_range_stops_the_run(run, monkeypatch):
    watched = Watched(monkeypatch)
    good = diverged(run, r"mtt stopped at step \d+: student_lr left its range, 1e-05 to 1, for ", steps=50, lr_lr=1e3)
    assert torch.equal(good.images, watched.images[-1])
    assert good.student_lr == watched.lrs[-1]
    assert len(watched.images) < 50


@pytest.mark.parametrize("end", ["below", "above"])
def test_the_rate_is_held_to_both_ends(end, run, monkeypatch):
    sign = 1 if end == "below" else -1
    Watched(monkeypatch, lambda step, found: replace(found, lr=torch.tensor(float(sign))))
    settings = {"min_student_lr": 0.09, "max_student_lr": 0.11}
    good = diverged(run, f"for {0.1 - sign * 0.02:.3g}", lr_lr=0.02, **settings)
    assert good.student_lr == pytest.approx(0.1)


def test_images_that_explode_stop_the_run(run, monkeypatch):
    watched = Watched(monkeypatch)
    good = diverged(
        run, "the matching loss is|the gradient is not finite|images are not finite", steps=5, image_lr=1e30, lr_lr=0.0
    )
    assert any(torch.equal(good.images, images) for images in watched.images)


def test_images_that_explode_in_the_last_step_are_not_returned(run, monkeypatch):
    watched = Watched(monkeypatch, lambda step, found: replace(found, images=found.images.sign() * 1e30))
    good = diverged(run, "mtt stopped at step 0: the images are not finite", image_lr=1e30, lr_lr=0.0)
    assert torch.equal(good.images, watched.images[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("loss", "the matching loss is (nan|inf)"),
        ("images", r"the gradient is not finite at loss \d"),
        ("lr", r"the gradient is not finite at loss \d"),
    ],
)
def test_a_number_that_is_not_finite_stops_the_run(part, message, bad, run, monkeypatch):
    def spoil(step: int, found: MetaGradient) -> MetaGradient:
        if step < 2:
            return found
        spoilt = getattr(found, part).clone()
        spoilt.view(-1)[0] = bad
        return replace(found, **{part: spoilt})

    watched = Watched(monkeypatch, spoil)
    good = diverged(run, f"mtt stopped at step 2: {message}", steps=5)
    assert len(watched.images) == 3
    assert torch.equal(good.images, watched.images[1])
    assert good.student_lr == watched.lrs[1]


def test_a_run_that_is_bad_from_the_start_gives_its_start_back(run, monkeypatch):
    watched = Watched(monkeypatch, lambda step, found: replace(found, loss=torch.tensor(float("nan"))))
    good = diverged(run, "mtt stopped at step 0", zca=True)
    assert torch.equal(good.images, watched.images[0])
    assert (good.space, good.student_lr) == ("zca", pytest.approx(0.1))


@pytest.mark.parametrize("done", [1, 3, 5])
def test_a_stopped_run_goes_on_bit_for_bit(done, run):
    expected, keeper = run(steps=6, syn_batch_size=4), Keeper(done)
    with pytest.raises(KilledError):
        run(steps=6, syn_batch_size=4, track=keeper)
    found = run(steps=6, syn_batch_size=4, track=keeper)
    assert torch.equal(found.images, expected.images)
    assert found.student_lr == expected.student_lr


def test_the_matching_loss_decreases_on_digits(digits, run, monkeypatch):
    watched = Watched(monkeypatch)
    run(
        digits,
        ipc=1,
        steps=40,
        syn_steps=5,
        num_experts=1,
        trajectory_epochs=2,
        trajectory_batch_size=128,
        expert_epochs=1,
        max_start_epoch=1,
        image_lr=100.0,
        lr_lr=1e-3,
    )
    losses = [found.loss.item() for found in watched.found]
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_training_data_and_the_global_generator_are_left_alone(run, toy):
    before, state = toy.images.clone(), torch.random.get_rng_state()
    run(steps=2)
    assert torch.equal(toy.images, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_fewest_epochs_that_suffice_are_enough(run):
    assert run(trajectory_epochs=4, expert_epochs=3, max_start_epoch=1).images.shape == (6, 3, 8, 8)
    assert make_method("mtt", {"trajectory_epochs": 4}).config.trajectory_epochs == 4


def test_a_context_without_experts_is_a_mistake_of_the_caller(toy, context: RunContext):
    with pytest.raises(RuntimeError, match=r"prepare\(\)"):
        make_method("mtt", SMALL).distill(toy, 1, context)
