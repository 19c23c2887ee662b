from __future__ import annotations

import gzip
import struct

import pytest
import torch

from ddbench.datasets._mnist_family import load_mnist_family
from ddbench.errors import DataMissingError


def write_raw(folder, pixels, label: int) -> None:
    folder.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        images = struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
        labels = struct.pack(">4BI", 0, 0, 8, 1, len(pixels)) + bytes([label] * len(pixels))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_packed_files_are_read_in_place(tmp_path, random_pixels, name, folder):
    pixels = random_pixels(2, 28, 28)
    write_raw(tmp_path / folder / "raw", pixels, 6)
    before = sorted(tmp_path.rglob("*"))
    (images, labels), _ = load_mnist_family(name, tmp_path, download=False)
    assert torch.equal(images, torch.from_numpy(pixels).unsqueeze(1))
    assert labels.tolist() == [6, 6]
    assert sorted(tmp_path.rglob("*")) == before


def test_each_name_reads_its_own_folder(tmp_path, random_pixels):
    write_raw(tmp_path / "FashionMNIST" / "raw", random_pixels(1, 28, 28), 0)
    with pytest.raises(DataMissingError, match=r"MNIST/raw/\*-ubyte\[\.gz\]"):
        load_mnist_family("mnist", tmp_path, download=False)


def test_files_that_are_there_are_not_fetched_again(tmp_path, random_pixels, monkeypatch):
    write_raw(tmp_path / "MNIST" / "raw", random_pixels(1, 28, 28), 0)
    monkeypatch.setattr("torchvision.datasets.MNIST.download", lambda self: pytest.fail("fetched"))
    assert load_mnist_family("mnist", tmp_path, download=True)[0][1].tolist() == [0]


def test_parquet_files_are_read_as_grey(tmp_path, encode, write_parquet, random_pixels):
    pixels = random_pixels(28, 28)
    for split in ("train", "test"):
        write_parquet(tmp_path / "mnist" / f"{split}-0.parquet", [encode(pixels)], [7])
    (images, labels), _ = load_mnist_family("mnist", tmp_path, download=False)
    assert torch.equal(images[0, 0], torch.from_numpy(pixels))
    assert labels.tolist() == [7]
