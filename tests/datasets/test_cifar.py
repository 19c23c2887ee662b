from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from ddbench.datasets._cifar import load_cifar
from ddbench.errors import DataMismatchError, DataMissingError


@pytest.fixture
def official(tmp_path, monkeypatch, random_pixels):
    """A tiny archive in the official layout, whose checksums stand in for the official ones."""

    def write(archive, key: str) -> dict[str, np.ndarray]:
        folder = tmp_path / archive.base_folder
        folder.mkdir()
        pixels = {name: random_pixels(3, 3072) for name in ("first", "second", "held_out")}
        contents = {name: {"data": data, key: [0, 1, 2]} for name, data in pixels.items()}
        contents["about"] = {archive.meta["key"]: ["a", "b", "c"]}
        digests = {}
        for name, content in contents.items():
            (folder / name).write_bytes(pickle.dumps(content))
            digests[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setattr(archive, "train_list", [[name, digests[name]] for name in ("first", "second")])
        monkeypatch.setattr(archive, "test_list", [["held_out", digests["held_out"]]])
        monkeypatch.setattr(archive, "meta", {**archive.meta, "filename": "about", "md5": digests["about"]})
        return pixels

    return write


@pytest.mark.parametrize(
    ("name", "archive", "key"), [("cifar10", CIFAR10, "labels"), ("cifar100", CIFAR100, "fine_labels")]
)
def test_the_official_archive_is_read_in_its_order(tmp_path, official, name, archive, key):
    pixels = official(archive, key)
    (images, labels), (test_images, test_labels) = load_cifar(name, tmp_path, num_classes=10, download=False)
    wanted = np.concatenate([pixels["first"], pixels["second"]]).reshape(-1, 3, 32, 32)
    assert torch.equal(images, torch.from_numpy(wanted))
    assert images.is_contiguous()
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert labels.dtype == torch.int64
    assert torch.equal(test_images, torch.from_numpy(pixels["held_out"].reshape(-1, 3, 32, 32)))
    assert test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_or_missing_official_file_is_named(tmp_path, official, damage):
    official(CIFAR10, "labels")
    path = tmp_path / CIFAR10.base_folder / "second"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(DataMismatchError, match=r"^[^\n]*second is missing or not the official file[^\n]*$"):
        load_cifar("cifar10", tmp_path, num_classes=10, download=False)


def test_parquet_files_are_read_where_there_is_no_archive(tmp_path, encode, write_parquet, random_pixels):
    pixels = random_pixels(2, 32, 32, 3)
    write_parquet(tmp_path / "cifar10" / "train-0.parquet", [encode(p, "WEBP") for p in pixels], [4, 2])
    write_parquet(tmp_path / "cifar10" / "test-0.parquet", [encode(pixels[0], "WEBP")], [1])
    train, test = load_cifar("cifar10", tmp_path, num_classes=10, download=False)
    assert torch.equal(train[0], torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert train[1].tolist() == [4, 2]
    assert test[1].tolist() == [1]


def test_one_split_alone_is_not_enough(tmp_path, encode, write_parquet, random_pixels):
    write_parquet(tmp_path / "cifar10" / "train-0.parquet", [encode(random_pixels(32, 32, 3))], [0])
    with pytest.raises(DataMissingError, match="ddbench doctor --download cifar10"):
        load_cifar("cifar10", tmp_path, num_classes=10, download=False)
