"""Tests of checkpoints: what is kept, what is resumed, what was spent, and who owns the folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import DenoiserDivergedError, DivergedError
from ddbench.host.checkpoint import SPENT_FILE, Checkpoints
from ddbench.host.files import digest_of
from ddbench.host.meter import Meter
from ddbench.method import untracked
from ddbench.records import Reading

CPU = torch.device("cpu")


class Sum:
    """A running sum over the items, with what it saw since it was made."""

    def __init__(self) -> None:
        self.total, self.seen = torch.zeros(()), []

    def add(self, item: int) -> None:
        self.total = self.total + item
        self.seen.append(item)

    def save_state(self) -> dict[str, Tensor]:
        return {"total": self.total}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.total = state["total"]


class KilledError(Exception):
    """Stands for a kill."""


class Attempt:
    """One attempt at one or more loops over 1..n, killed after so many items of the last loop."""

    def __init__(self, folder: Path, *, every_seconds: float = 0, show=untracked, keeps_parts: bool = False) -> None:
        self.meter = Meter(CPU)
        self._folder, self._every, self._show, self._keeps_parts = folder, every_seconds, show, keeps_parts
        self.checkpoints: Checkpoints
        self.reading: Reading

    def run(self, *loops: tuple[str, int], killed_after: int | None = None) -> list[Sum]:
        sums = []
        with self.meter:
            self.checkpoints = Checkpoints(
                self._folder, self.meter, self._show, self._every, keeps_parts=self._keeps_parts
            )
            with self.checkpoints:
                for name, count in loops:
                    sums.append(state := Sum())
                    for item in self.checkpoints.track(range(1, count + 1), name, state):
                        if killed_after is not None and (name, item) == (loops[-1][0], killed_after + 1):
                            raise KilledError
                        state.add(item)
        self.reading = self.checkpoints.total()
        return sums


def kill(folder: Path, *loops: tuple[str, int], after: int, **options: object) -> Attempt:
    attempt = Attempt(folder, **options)
    with pytest.raises(KilledError):
        attempt.run(*loops, killed_after=after)
    return attempt


def progress(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def spent(folder: Path) -> Reading:
    return Reading.model_validate(json.loads((folder / SPENT_FILE).read_text(encoding="utf-8"))["reading"])


def write_spent(folder: Path, **changed: object) -> None:
    content = json.loads((folder / SPENT_FILE).read_text(encoding="utf-8"))
    content["reading"] |= changed
    del content["digest"]
    (folder / SPENT_FILE).write_text(json.dumps({**content, "digest": digest_of(content)}))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "unfinished" / "work"


class Clock:
    """Stands for the module `time`: it moves when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    for module in ("clock", "meter"):
        monkeypatch.setattr(f"ddbench.host.{module}.time", made)
    return made


def test_a_loop_without_state_yields_everything_and_keeps_nothing(folder):
    attempt = Attempt(folder)
    with attempt.meter:
        checkpoints = Checkpoints(folder, attempt.meter, untracked, 0)
        with checkpoints:
            assert list(checkpoints.track(iter("abc"), "letters")) == ["a", "b", "c"]
    assert not folder.exists()


def test_a_short_loop_leaves_nothing_on_disk(folder):
    (found,) = Attempt(folder, every_seconds=100).run(("adding", 4))
    assert found.seen == [1, 2, 3, 4]
    assert not folder.parent.exists()


def test_a_short_loop_that_fails_leaves_nothing_on_disk(folder):
    kill(folder, ("adding", 4), after=3, every_seconds=100)
    assert not folder.parent.exists()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_after_a_kill_the_work_goes_on_behind_the_last_checkpoint(folder, after):
    kill(folder, ("adding", 4), after=after)
    (found,) = Attempt(folder).run(("adding", 4))
    assert found.seen == [1, 2, 3, 4][after:]
    assert found.total.item() == 10


def test_a_checkpoint_says_how_far_it_is(folder):
    kill(folder, ("Adding numbers, slowly!", 4), after=2)
    path = folder / "adding-numbers-slowly.safetensors"
    found = progress(path)
    assert (found["done"], found["total"]) == ("2", "4")
    assert load_file(path)["total"].item() == 3


def test_a_killed_first_item_starts_from_the_beginning(folder):
    kill(folder, ("adding", 4), after=0)
    (found,) = Attempt(folder).run(("adding", 4))
    assert found.seen == [1, 2, 3, 4]


def test_checkpoints_are_kept_at_the_pace_asked_for(folder, clock):
    kept = []

    def show(iterable: Iterable, description: str, state=None) -> Iterator:
        for item in iterable:
            clock.now += 1
            yield item
            found = folder / "adding.safetensors"
            kept.append(int(progress(found)["done"]) if found.exists() else 0)

    with pytest.raises(KilledError):
        Attempt(folder, every_seconds=3, show=show).run(("adding", 9), killed_after=8)
    assert kept == [0, 0, 3, 3, 3, 6, 6, 6]
    assert spent(folder).seconds == 6


def test_every_loop_is_taken_up_where_it_was(folder):
    kill(folder, ("first", 3), ("second", 4), after=2)
    first, second = Attempt(folder).run(("first", 3), ("second", 4))
    assert (first.seen, first.total.item()) == ([], 6)
    assert (second.seen, second.total.item()) == ([3, 4], 10)


def test_work_may_be_killed_again_and_again(folder):
    seen = []
    for after in (1, 2, 3):
        kill(folder, ("adding", 4), after=after)
        seen.append(progress(folder / "adding.safetensors")["done"])
    (found,) = Attempt(folder).run(("adding", 4))
    assert seen == ["1", "2", "3"]
    assert (found.seen, found.total.item()) == ([4], 10)


def test_the_folder_goes_when_the_work_is_done_and_stays_after_an_error(folder):
    kill(folder, ("adding", 4), after=2)
    assert {"adding.safetensors", SPENT_FILE} <= {path.name for path in folder.iterdir()}
    Attempt(folder).run(("adding", 4))
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []


def test_progress_is_shown_of_all_items_with_their_description(folder):
    kill(folder, ("adding", 4), after=2)
    shown = []

    def show(iterable: Iterable, description: str, state=None) -> Iterator:
        for item in iterable:
            shown.append((description, item))
            yield item

    Attempt(folder, show=show).run(("adding", 4))
    assert shown == [("adding", item) for item in (1, 2, 3, 4)]


def test_what_all_attempts_took_is_added_up(folder, clock):

    def show(iterable: Iterable, description: str, state=None) -> Iterator:
        for item in iterable:
            clock.now += 10  # each item takes this long; the time between attempts is nobody's
            yield item

    whole = Attempt(folder.with_name("whole"), show=show)
    whole.run(("adding", 4))
    assert (whole.reading.seconds, whole.reading.interruptions) == (40, 0)
    kill(folder, ("adding", 4), after=1, show=show)
    assert (spent(folder).seconds, spent(folder).interruptions) == (10, 1)
    clock.now += 1000
    kill(folder, ("adding", 4), after=2, show=show)
    assert spent(folder).interruptions == 2
    last = Attempt(folder, show=show)
    last.run(("adding", 4))
    # 10 kept of the first attempt; 20 of the second, which passed item 1 again; 40 of the last.
    assert (last.reading.seconds, last.reading.interruptions) == (70, 2)


def test_work_that_was_never_interrupted_reads_as_its_meter(folder):
    attempt = Attempt(folder)
    attempt.run(("adding", 4))
    assert attempt.reading == attempt.meter.reading
    assert attempt.reading.interruptions == 0


def test_peaks_are_the_largest_of_all_attempts(folder):
    kill(folder, ("adding", 4), after=2)
    write_spent(folder, peak_host_bytes=2**60)
    attempt = Attempt(folder)
    attempt.run(("adding", 4))
    assert attempt.reading.peak_host_bytes == 2**60


def test_while_another_does_the_same_work_nothing_is_kept_and_nothing_taken_up(folder):
    kill(folder, ("adding", 4), after=2)
    owner_meter = Meter(CPU)
    with owner_meter, Checkpoints(folder, owner_meter, untracked, 0) as owner:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        second = Attempt(folder)
        (found,) = second.run(("adding", 4))
        assert found.seen == [1, 2, 3, 4]
        assert second.reading.interruptions == 0
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        state = Sum()
        for item in owner.track(range(1, 5), "adding", state):
            state.add(item)
        assert (state.seen, state.total.item()) == ([3, 4], 10)
    assert not folder.exists()


def test_of_two_that_start_fresh_the_first_to_need_the_folder_has_it(folder):
    meter = Meter(CPU)
    with meter, Checkpoints(folder, meter, untracked, 0) as first:
        one = Sum()
        loop = first.track(range(1, 5), "adding", one)
        one.add(next(loop))
        one.add(next(loop))  # the first item has been kept by now
        (two,) = Attempt(folder).run(("adding", 4))
        assert two.seen == [1, 2, 3, 4]
        assert progress(folder / "adding.safetensors")["done"] == "1"
        for item in loop:
            one.add(item)
    assert one.total.item() == 10
    assert not folder.exists()


def test_the_lock_is_free_after_an_error(folder):
    held = kill(folder, ("adding", 4), after=2)
    (found,) = Attempt(folder).run(("adding", 4))  # `held` is still referred to
    assert found.seen == [3, 4]
    assert held.checkpoints is not None


def test_work_that_keeps_parts_keeps_the_cost_of_short_loops_and_one_checkpoint(folder):
    kill(folder, ("one", 3), ("two", 3), after=0, every_seconds=1000, keeps_parts=True)
    assert spent(folder).interruptions == 1
    kill(folder, ("one", 3), ("two", 3), after=2, keeps_parts=True)
    assert [path.name for path in folder.glob("*.safetensors")] == ["two.safetensors"]


IMAGES = DistilledDataset(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), num_classes=1, ipc=1)


@pytest.mark.parametrize("error", [DivergedError("exploded", IMAGES), DenoiserDivergedError("exploded")], ids=type)
def test_work_that_diverged_leaves_nothing_to_diverge_again(folder, error):
    kill(folder, ("one", 3), after=2)
    checkpoints = Checkpoints(folder, Meter(CPU), untracked, 0)
    assert folder.exists()
    checkpoints.__exit__(type(error), error, None)
    assert not folder.exists()
