"""Tests of experts on disk: what is written is read back row by row, and files of other work are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddbench.distilled.files import save_whitening
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.images import Whitening
from ddbench.methods._trajectories.expert_files import Expert, expert_path, find_whitening, has_expert, save_expert
from tests._peaks import peak_rises

IDENTITY = {"dataset": "toy (f1)", "network": "mlp", "whitening": "none", "epochs": "3", "parameter count": "7"}


def make_trajectory(rows: int = 4, size: int = 7) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def saved(tmp_path) -> Path:
    """The file of one expert of 3 epochs."""
    save_expert(make_trajectory(), tmp_path, 2, IDENTITY)
    return expert_path(tmp_path, 2)


def refusal(path: Path, **changes: str) -> str:
    """What `has_expert` says against a file; the file must be left as it is."""
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(DataMismatchError) as caught:
        has_expert(path, {**IDENTITY, **changes})
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_every_epoch_is_read_back_as_it_was_written(saved):
    expert, trajectory = Expert(saved), make_trajectory()
    for epoch in (3, 0, 2, 1):
        found = expert.parameters(epoch)
        assert found.dtype == torch.float32
        assert torch.equal(found, trajectory[epoch])


def test_bf16_takes_half_the_space_and_is_read_as_float32(tmp_path):
    trajectory = make_trajectory(size=1000)
    save_expert(trajectory, tmp_path, 0, IDENTITY)
    save_expert(trajectory.bfloat16(), tmp_path, 1, IDENTITY)
    full, half = (expert_path(tmp_path, index) for index in (0, 1))
    assert full.stat().st_size - half.stat().st_size == 2 * trajectory.numel()
    found = Expert(half).parameters(2)
    assert found.dtype == torch.float32
    assert torch.equal(found, trajectory[2].bfloat16().float())
    assert not torch.equal(found, trajectory[2])


def test_reading_one_epoch_takes_the_memory_of_one(tmp_path):
    rows, row_bytes = 48, 2**20
    save_expert(torch.ones(rows, row_bytes // 4), tmp_path, 0, IDENTITY)
    expert = Expert(expert_path(tmp_path, 0))
    expert.parameters(0)
    ones = peak_rises(lambda: expert.parameters(rows // 2))
    wholes = peak_rises(lambda: load_file(expert_path(tmp_path, 0))["trajectory"].clone())
    assert min(above_nothing for above_nothing, _ in ones) < rows * row_bytes / 4
    assert max(above_nothing for above_nothing, _ in wholes) > rows * row_bytes / 2


def test_an_expert_is_there_once_it_is_saved(tmp_path):
    path = expert_path(tmp_path, 0)
    assert not has_expert(path, IDENTITY)
    save_expert(make_trajectory(), tmp_path, 0, IDENTITY)
    assert has_expert(path, IDENTITY)
    assert [file.name for file in tmp_path.iterdir()] == [path.name] == ["expert-000.safetensors"]


def test_experts_have_files_of_their_own(tmp_path):
    assert len({expert_path(tmp_path, index) for index in range(1200)}) == 1200


@pytest.mark.parametrize("key", ["dataset", "network", "whitening", "parameter count"])
def test_an_expert_of_other_work_is_refused(saved, key):
    text = refusal(saved, **{key: "another"})
    assert f"is of another {key}: expected another, found {IDENTITY[key]}; remove its folder" in text


def test_an_expert_of_another_number_of_epochs_is_refused(saved):
    assert "is of another epochs: expected 4, found 3" in refusal(saved, epochs="4")


def test_an_expert_that_says_nothing_is_refused(saved):
    save_file({"trajectory": make_trajectory()}, saved)
    assert "is of another dataset: expected toy (f1), found nothing" in refusal(saved)


def test_fewer_epochs_than_the_file_says_are_refused(saved):
    save_file({"trajectory": make_trajectory(rows=3)}, saved, metadata=IDENTITY)
    assert re.search(r"should hold .4, 7. numbers, found .3, 7.; remove it to train", refusal(saved))


@pytest.mark.parametrize("keep", [0, 5, 200, -1], ids=["empty", "in the length", "in the header", "one byte short"])
def test_a_truncated_expert_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    assert "is truncated or altered" in refusal(saved)


@pytest.mark.parametrize("content", [b"not an expert", b"\x08" + bytes(7) + b"{      }"], ids=["text", "no tensor"])
def test_a_file_of_something_else_is_refused(saved, content):
    saved.write_bytes(content)
    assert "is truncated or altered" in refusal(saved)


def test_an_expert_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(BadInputError, match="cannot write"):
        save_expert(make_trajectory(), tmp_path / "nowhere", 0, IDENTITY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("own_cache")
def test_whitening_is_found_where_there_is_one(tmp_path):
    folder = tmp_path / "experts"
    folder.mkdir()
    assert find_whitening(folder) is None
    whitening = Whitening(torch.arange(4.0), torch.eye(4))
    save_whitening(whitening, folder)
    assert find_whitening(folder).hash == whitening.hash


@pytest.mark.usefixtures("own_cache")
def test_damaged_whitening_is_refused_in_one_line(tmp_path):
    save_whitening(Whitening(torch.arange(4.0), torch.eye(4)), tmp_path)
    path = next(tmp_path.glob("whitening-*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataMismatchError, match="truncated or altered") as caught:
        find_whitening(tmp_path)
    assert "\n" not in str(caught.value)
