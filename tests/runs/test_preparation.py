"""Tests of prepared folders: made once, shared where they may be, finished after a kill."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from ddbench.dataset import make_real_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.cached_work import MANIFEST
from ddbench.method import Foundation, Method, RunContext
from ddbench.runs.preparation import make_foundations, prepare_once
from ddbench.seeding import make_generator

pytestmark = pytest.mark.usefixtures("own_cache")


@dataclass(frozen=True)
class Config:
    """Settings: the first is of the preparation, the second is not."""

    experts: int = 2
    steps: int = 10


class Preparing(Method):
    """Prepares a file, and counts how often."""

    Config = Config
    prepare_ignores = ("steps",)
    calls: ClassVar[list[Path]] = []

    def prepare(self, train, ctx):
        self.calls.append(ctx.cache_dir)
        draws = torch.rand(self.config.experts, generator=ctx.generator).tolist()
        (ctx.cache_dir / "experts.txt").write_text(str(draws))
        return ctx.cache_dir

    def distill(self, train, ipc, ctx):
        return DistilledDataset(torch.zeros(2, 1, 8, 8), torch.arange(2), num_classes=2, ipc=1)


class Unprepared(Method):
    """Prepares nothing."""

    def distill(self, train, ipc, ctx):
        return DistilledDataset(torch.zeros(2, 1, 8, 8), torch.arange(2), num_classes=2, ipc=1)


def make_train(name="small", count=2):
    split = torch.zeros(2 * count, 1, 8, 8, dtype=torch.uint8), torch.arange(2).repeat(count)
    return make_real_dataset(name, split, split, class_names=("a", "b"), mean=(0.5,), std=(0.5,)).train


@pytest.fixture
def ctx(tmp_path):
    Preparing.calls.clear()
    return RunContext(torch.device("cpu"), make_generator(0, "distill"), tmp_path / "scratch")


@pytest.fixture
def prepare(ctx):
    """A function that prepares and returns the folder and the phase."""

    def run(method=None, *, name="preparing", train=None, seed=0):
        return prepare_once(name, method or Preparing(), train or make_train(), seed, ctx)

    return run


def test_work_is_done_once_and_keeps_what_it_cost(prepare, own_cache):
    folder, phase = prepare()
    again, cached = prepare()
    assert len(Preparing.calls) == 1
    assert again == folder == Preparing.calls[0]
    assert folder.is_relative_to(own_cache)
    assert cached.reading == phase.reading
    assert (phase.name, phase.cached, cached.name, cached.cached) == ("prepare", False, "prepare", True)
    assert phase.reading.seconds > 0


def test_method_that_prepares_nothing_has_no_folder_and_no_phase(prepare, own_cache):
    assert prepare(Unprepared()) == (None, None)
    assert not own_cache.exists()


def test_method_may_find_that_there_is_nothing_to_prepare(prepare):
    class Perhaps(Preparing):
        def prepare(self, train, ctx):
            self.calls.append(ctx.cache_dir)

    assert prepare(Perhaps()) == (None, None)
    assert prepare(Perhaps()) == (None, None)
    assert len(Perhaps.calls) == 2


@pytest.mark.parametrize(
    ("changes", "is_shared"),
    [
        ({"method": Preparing(Config(steps=99))}, True),
        ({"method": Preparing(Config(experts=3))}, False),
        ({"seed": 1}, False),
        ({"train": make_train("other")}, False),
        ({"train": make_train(count=3)}, False),
        ({"name": "another"}, False),
    ],
    ids=["other setting", "prepare setting", "seed", "data set", "fingerprint", "method name"],
)
def test_folder_is_shared_where_nothing_it_depends_on_differs(prepare, changes, is_shared):
    assert (prepare()[0] == prepare(**changes)[0]) == is_shared
    assert len(Preparing.calls) == (1 if is_shared else 2)


def test_methods_of_one_prepare_name_share_a_folder(prepare):
    class Sharing(Preparing):
        prepare_name = "experts"

    class AlsoSharing(Preparing):
        prepare_name = "experts"

    first, phase = prepare(Sharing(), name="one")
    second, cached = prepare(AlsoSharing(), name="two")
    assert first == second
    assert cached.reading == phase.reading
    assert first.name.startswith("experts-small-")
    assert len(Preparing.calls) == 1


def test_unfinished_folder_is_handed_over_again_as_it_is(prepare):
    class Interrupted(Preparing):
        def prepare(self, train, ctx):
            (ctx.cache_dir / "expert0.txt").write_text("done")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Interrupted())
    folder, phase = prepare()
    assert sorted(path.name for path in folder.iterdir()) == ["expert0.txt", "experts.txt", MANIFEST]
    assert not phase.cached
    assert prepare()[1].cached


def test_draws_depend_on_seed_and_data_alone(prepare, ctx):
    first = (prepare(name="a")[0] / "experts.txt").read_text()
    torch.rand(3, generator=ctx.generator)
    assert (prepare(name="b")[0] / "experts.txt").read_text() == first
    assert (prepare(seed=1)[0] / "experts.txt").read_text() != first
    assert (prepare(train=make_train("other"))[0] / "experts.txt").read_text() != first


def test_names_with_slashes_and_colons_give_one_folder(prepare, own_cache):
    folders = {prepare(train=make_train(f"image_folder:a/b.{end},size=8"))[0] for end in ("c", "d")}
    assert {folder.parent for folder in folders} == {own_cache / "prepared"}
    assert len(list(own_cache.glob("prepared/*.lock"))) == len(folders) == 2  # neither waits for the other


def test_two_runs_at_once_prepare_once(ctx):
    start, inside = threading.Barrier(2), []

    class Slow(Preparing):
        def prepare(self, train, ctx):
            inside.append(1)
            for number in range(200):
                (ctx.cache_dir / "work.txt").write_text(str(number))
            assert len(inside) == 1
            return super().prepare(train, ctx)

    found = []

    def run():
        own = replace(ctx, generator=make_generator(0, "distill"))
        start.wait()
        found.append(prepare_once("slow", Slow(), make_train(), 0, own))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Preparing.calls) == 1
    assert found[0][0] == found[1][0]
    assert sorted(phase.cached for _, phase in found) == [False, True]


def test_a_damaged_account_is_told_in_one_line_and_the_work_done_again(prepare):
    folder = prepare()[0]
    (folder / MANIFEST).write_text("{")
    with pytest.warns(UserWarning, match="is made again: its kept.json is damaged$"):
        again, phase = prepare()
    assert (again, phase.cached) == (folder, False)


class Founded(Preparing):
    """Stands on a foundation, whose filling it counts."""

    grounds: ClassVar[list[Path]] = []
    settings: ClassVar[dict[str, int]] = {"width": 3}

    def foundation(self):
        return Foundation("ground", self.settings, self.fill)

    def fill(self, train, ctx):
        self.grounds.append(ctx.cache_dir)
        draws = torch.rand(3, generator=ctx.generator).tolist()
        (ctx.cache_dir / "ground.txt").write_text(str(draws))
        return ctx.cache_dir


@pytest.fixture
def lay(ctx):
    """A function that makes a foundation and returns the folder and the phase."""
    Founded.grounds.clear()

    def run(method=None, *, train=None, seed=0):
        own = replace(ctx, generator=make_generator(seed, "distill"))
        folders, phase = make_foundations(method or Founded(), train or make_train(), own)
        return next(iter(folders), None), phase

    return run


def test_a_foundation_is_laid_once_and_keeps_what_it_cost(lay, own_cache):
    folder, phase = lay()
    again, cached = lay()
    assert Founded.grounds == [folder] == [again]
    assert folder.parent == own_cache / "foundations"
    assert folder.name.startswith("ground-small-")
    assert cached.reading == phase.reading
    assert (phase.name, phase.cached, cached.name, cached.cached) == ("prepare", False, "prepare", True)


def test_a_method_without_foundation_has_no_folder_and_no_phase(lay, own_cache):
    assert lay(Preparing()) == (None, None)
    assert not own_cache.exists()


def test_a_foundation_may_turn_out_to_be_nothing(lay):
    class Perhaps(Founded):
        def fill(self, train, ctx):
            return None

    assert lay(Perhaps()) == lay(Perhaps()) == (None, None)


class OtherMethod(Founded):
    """Another method on the same foundation."""


class OtherSettings(Founded):
    """A method whose foundation has other settings."""

    settings: ClassVar[dict[str, int]] = {"width": 4}


@pytest.mark.parametrize(
    ("changes", "is_shared"),
    [
        ({"seed": 1}, True),
        ({"method": Founded(Config(experts=3))}, True),
        ({"method": OtherMethod()}, True),
        ({"method": OtherSettings()}, False),
        ({"train": make_train("other")}, False),
        ({"train": make_train(count=3)}, False),
    ],
    ids=["seed", "settings of the method", "method", "its settings", "data set", "fingerprint"],
)
def test_a_foundation_is_shared_by_all_that_stand_on_the_same(lay, changes, is_shared):
    (first, _), (second, phase) = lay(), lay(**changes)
    assert (first == second) == phase.cached == is_shared
    assert len(Founded.grounds) == (1 if is_shared else 2)


def test_a_foundation_draws_from_seed_zero(lay):
    found = (lay(seed=5)[0] / "ground.txt").read_text()
    assert found == str(torch.rand(3, generator=make_generator(0, "prepare", "small")).tolist())


def test_an_unfinished_foundation_is_handed_over_again_as_it_is(lay):
    class Interrupted(Founded):
        def fill(self, train, ctx):
            (ctx.cache_dir / "half.txt").write_text("done")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lay(Interrupted())
    folder, phase = lay()
    assert sorted(path.name for path in folder.iterdir()) == ["ground.txt", "half.txt", MANIFEST]
    assert not phase.cached


def test_preparations_on_one_foundation_are_apart_by_seed(lay, ctx):
    grounds = {lay(seed=seed)[0] for seed in (0, 1)}
    folders = {prepare_once("founded", Founded(), make_train(), seed, ctx)[0] for seed in (0, 1)}
    assert (len(grounds), len(folders)) == (1, 2)
    assert grounds.isdisjoint(folders)
