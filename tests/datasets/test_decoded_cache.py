from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ddbench.datasets._decoded_cache import TENSORS_FILE, cached_tensors
from ddbench.errors import DataMismatchError
from ddbench.host.cached_work import MANIFEST


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def counted() -> tuple[list[int], Callable[[], dict[str, Tensor]]]:
    calls: list[int] = []

    def build() -> dict[str, Tensor]:
        calls.append(1)
        return {"images": torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2), "labels": torch.tensor([7])}

    return calls, build


def test_second_call_reads_what_the_first_one_stored(source, counted):
    calls, build = counted
    first, second = (cached_tensors([source], "v", build) for _ in range(2))
    assert len(calls) == 1
    assert all(torch.equal(first[name], second[name]) for name in ("images", "labels"))
    assert second["images"].dtype == torch.uint8


def test_another_variant_is_built_anew(source, counted):
    calls, build = counted
    cached_tensors([source], "size=8", build)
    cached_tensors([source], "size=16", build)
    assert len(calls) == 2


def test_a_changed_source_is_built_anew_and_a_touched_or_moved_one_is_not(source, counted):
    calls, build = counted
    cached_tensors([source], "v", build)
    os.utime(source, ns=(1, 1))
    cached_tensors([source], "v", build)
    cached_tensors([source.rename(source.with_name("moved.bin"))], "v", build)
    assert len(calls) == 1
    source.write_bytes(b"CONTENT")
    os.utime(source, ns=(1, 1))
    cached_tensors([source], "v", build)
    assert len(calls) == 2


def test_what_changes_while_it_is_decoded_is_refused_and_not_kept(source, counted, decoded_cache):
    def build() -> dict[str, Tensor]:
        source.write_bytes(b"changed")
        return counted[1]()

    with pytest.raises(DataMismatchError, match=r"source\.bin has changed since it was first read; start again"):
        cached_tensors([source], "v", build)
    assert not list(decoded_cache.glob(f"*/{TENSORS_FILE}"))


@pytest.mark.parametrize("keep", [0, 4, 40])
def test_a_damaged_cache_file_is_rebuilt(source, counted, decoded_cache, keep):
    calls, build = counted
    cached_tensors([source], "v", build)
    (stored,) = decoded_cache.glob(f"*/{TENSORS_FILE}")
    stored.write_bytes(stored.read_bytes()[:keep])
    with pytest.warns(UserWarning, match=f"is made again: {TENSORS_FILE} is missing or altered$"):
        cached_tensors([source], "v", build)
    cached_tensors([source], "v", build)
    assert len(calls) == 2


def test_no_temporary_file_is_left(source, counted, decoded_cache):
    cached_tensors([source], "v", counted[1])
    assert sorted(path.name for path in decoded_cache.glob("*/*")) == [TENSORS_FILE, MANIFEST]


def test_a_cache_that_cannot_be_written_is_not_needed(source, counted, decoded_cache):
    decoded_cache.parent.mkdir(parents=True)
    decoded_cache.write_text("a file where the folder should be")
    calls, build = counted
    for _ in range(2):
        assert cached_tensors([source], "v", build)["labels"].tolist() == [7]
    assert len(calls) == 2


def test_tensors_from_the_cache_outlive_its_file(source, counted, decoded_cache):
    cached_tensors([source], "v", counted[1])
    stored = cached_tensors([source], "v", counted[1])
    for path in decoded_cache.glob("*/*"):
        path.write_bytes(b"")
    assert stored["images"].flatten().tolist() == list(range(12))
