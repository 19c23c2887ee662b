from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import SVHN

from ddbench.dataset import load_dataset
from ddbench.datasets.svhn import TEST_COUNTS, TRAIN_COUNTS, load_splits
from ddbench.errors import DataMismatchError, DataMissingError


@pytest.fixture
def write_official(monkeypatch, random_pixels):
    """A function that writes tiny files in the official layout, whose checksums stand in for the official ones."""

    def write(folder) -> np.ndarray:
        folder.mkdir(exist_ok=True)
        pixels = random_pixels(32, 32, 3, 11)
        entries = {}
        for split in ("train", "test"):
            path = folder / f"{split}_32x32.mat"
            savemat(
                path, {"X": pixels, "y": np.array([[10], [1], [9], [10], *([y] for y in range(2, 9))], dtype=np.uint8)}
            )
            entries[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        monkeypatch.setattr(SVHN, "split_list", {**SVHN.split_list, **entries})
        return pixels

    return write


@pytest.mark.parametrize("folder", ["svhn", "."])
def test_the_official_files_are_read_with_ten_meaning_zero(tmp_path, write_official, folder):
    pixels = write_official(tmp_path / folder)
    (images, labels), _ = load_splits(tmp_path, download=False)
    assert torch.equal(images, torch.from_numpy(pixels).permute(3, 2, 0, 1))
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0, 1, 9, 0, *range(2, 9)]


def test_digits_may_not_be_mirrored(tmp_path, write_official, monkeypatch):
    write_official(tmp_path / "svhn")
    for split in ("TRAIN", "TEST"):
        monkeypatch.setattr(f"ddbench.datasets.svhn.{split}_COUNTS", (2, *[1] * 9))
    assert not load_dataset("svhn", tmp_path).info.may_be_mirrored


def test_a_damaged_official_file_is_named(tmp_path, write_official):
    write_official(tmp_path / "svhn")
    (tmp_path / "svhn" / "test_32x32.mat").write_bytes(b"short")
    with pytest.raises(DataMismatchError, match=r"^[^\n]*test_32x32\.mat is missing or not the official file[^\n]*$"):
        load_dataset("svhn", tmp_path)


def test_parquet_files_are_read(tmp_path, encode, write_parquet, random_pixels):
    pixels = random_pixels(32, 32, 3)
    for split in ("train", "test"):
        write_parquet(tmp_path / "svhn" / f"{split}-0.parquet", [encode(pixels)], [7])
    (images, labels), _ = load_splits(tmp_path, download=False)
    assert torch.equal(images[0], torch.from_numpy(pixels).permute(2, 0, 1))
    assert labels.tolist() == [7]


def test_other_counts_are_refused(tmp_path, write_official):
    write_official(tmp_path / "svhn")
    with pytest.raises(DataMismatchError, match=r"train images of class 0 \(0\) should be 4948, found 2"):
        load_dataset("svhn", tmp_path)


def test_missing_files_name_the_command(tmp_path):
    with pytest.raises(DataMissingError, match="ddbench doctor --download svhn"):
        load_dataset("svhn", tmp_path)


def test_counts_add_up_to_the_published_totals():
    assert (sum(TRAIN_COUNTS), sum(TEST_COUNTS)) == (73257, 26032)
