"""Tests of checkpoints that are damaged or of other work: a warning, and the loop starts over."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddbench.errors import DataMismatchError
from ddbench.host.checkpoint import SPENT_FILE
from ddbench.host.kept_files import save_kept
from tests.host.test_checkpoint import Attempt, kill


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "unfinished" / "work"


def start_over(folder: Path, count: int = 4, reason: str = "") -> None:
    """The loop is done from its start, with one warning, and gives what it gives without a checkpoint."""
    with pytest.warns(UserWarning, match="a checkpoint cannot be resumed, its loop starts over: ") as caught:
        (found,) = Attempt(folder).run(("adding", count))
    assert len(caught) == 1
    assert reason in str(caught[0].message)
    assert "\n" not in str(caught[0].message)
    assert (found.seen, found.total.item()) == (list(range(1, count + 1)), sum(range(1, count + 1)))


def test_with_a_checkpoint_of_another_length_the_loop_starts_over(folder):
    kill(folder, ("adding", 4), after=2)
    start_over(folder, 5, "is of 4 steps instead of 5")


@pytest.mark.parametrize("keep", [0, 4, -1])
def test_with_a_truncated_checkpoint_the_loop_starts_over(folder, keep):
    kill(folder, ("adding", 4), after=2)
    path = folder / "adding.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    start_over(folder)


def test_with_a_bit_of_a_checkpoint_flipped_the_loop_starts_over_or_goes_on_as_it_was(folder):
    kill(folder, ("adding", 4), after=2)
    path = folder / "adding.safetensors"
    whole, others = path.read_bytes(), {p: p.read_bytes() for p in folder.iterdir()}
    for place in range(0, len(whole), 9):
        folder.mkdir(exist_ok=True)
        for other, content in others.items():
            other.write_bytes(content)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (found,) = Attempt(folder).run(("adding", 4))
        assert found.total.item() == 10
        assert len(caught) == 1 or found.seen == [3, 4], place


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"other": torch.zeros(1)}, {"done": "2", "total": "4"}),
        ({"total": torch.zeros(1)}, None),
        ({"total": torch.zeros(1)}, {"done": "two", "total": "4"}),
    ],
    ids=["other state", "no progress", "no number"],
)
def test_with_a_checkpoint_without_a_digest_the_loop_starts_over(folder, tensors, metadata):
    kill(folder, ("adding", 4), after=2)
    save_file(tensors, folder / "adding.safetensors", metadata=metadata)
    start_over(folder, reason="has no digest")


def test_with_a_checkpoint_of_other_work_the_loop_starts_over(folder):
    other = folder.with_name("other")
    kill(folder, ("adding", 4), after=2)
    kill(other, ("adding", 4), after=3)
    shutil.copyfile(other / "adding.safetensors", folder / "adding.safetensors")
    start_over(folder, reason="is of other work, of other/adding.safetensors")


def test_with_the_checkpoint_of_another_loop_the_loop_starts_over(folder):
    kill(folder, ("adding", 4), ("adding more", 4), after=2)
    shutil.copyfile(folder / "adding-more.safetensors", folder / "adding.safetensors")
    start_over(folder, reason="is of other work")


@pytest.mark.parametrize(
    ("tensors", "progress"),
    [({"total": torch.zeros(1)}, {"done": "two", "total": "4"}), ({"total": torch.zeros(1)}, {})],
    ids=["no number", "no progress"],
)
def test_with_a_whole_checkpoint_of_no_progress_the_loop_starts_over(folder, tensors, progress):
    kill(folder, ("adding", 4), after=2)
    save_kept(tensors, folder / "adding.safetensors", progress)
    start_over(folder)


def test_a_whole_checkpoint_of_another_state_is_refused(folder):
    kill(folder, ("adding", 4), after=2)
    path = folder / "adding.safetensors"
    save_kept({"other": torch.zeros(1)}, path, {"done": "2", "total": "4"})
    with pytest.raises(DataMismatchError, match=r"cannot be resumed: 'total'; remove it to start over"):
        Attempt(folder).run(("adding", 4))
    assert path.exists()


@pytest.mark.parametrize("text", ['{"seconds": ', '{"seconds": "many"}', "", "[1]", '{"digest": 1}'])
def test_a_damaged_account_is_a_warning_and_an_interruption_of_unknown_length(folder, text):
    kill(folder, ("adding", 4), after=2)
    (folder / SPENT_FILE).write_text(text)
    attempt = Attempt(folder)
    with pytest.warns(UserWarning, match=r"spent\.json is damaged or of other work; what was spent") as caught:
        (found,) = attempt.run(("adding", 4))
    assert len(caught) == 1
    assert (found.seen, found.total.item()) == ([3, 4], 10)
    assert attempt.reading.interruptions == 1


def test_a_changed_digit_of_the_account_is_noticed(folder):
    kill(folder, ("adding", 4), after=2)
    path = folder / SPENT_FILE
    path.write_text(path.read_text().replace('"interruptions": 1', '"interruptions": 0'))
    with pytest.warns(UserWarning, match="is damaged or of other work"):
        Attempt(folder).run(("adding", 4))


def test_an_account_that_is_missing_counts_as_an_interruption(folder):
    kill(folder, ("adding", 4), after=2)
    (folder / SPENT_FILE).unlink()
    attempt = Attempt(folder)
    attempt.run(("adding", 4))
    assert attempt.reading.interruptions == 1


def test_where_the_checkpoint_was_removed_the_loop_starts_over(folder):
    kill(folder, ("adding", 4), after=2)
    (folder / "adding.safetensors").unlink()
    (found,) = Attempt(folder).run(("adding", 4))
    assert (found.seen, found.total.item()) == ([1, 2, 3, 4], 10)
