from __future__ import annotations

import pytest

from ddbench.dataset import load_dataset
from ddbench.datasets.cifar100 import CLASS_NAMES
from ddbench.errors import DataMismatchError, DataMissingError


def test_the_hundred_class_names_are_in_alphabetical_order():
    assert len(set(CLASS_NAMES)) == 100
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)


def test_missing_files_name_the_command(tmp_path):
    with pytest.raises(DataMissingError, match="ddbench doctor --download cifar100"):
        load_dataset("cifar100", tmp_path)


def test_fine_labels_are_read_and_their_counts_checked(tmp_path, encode, write_parquet, random_pixels):
    for split in ("train", "test"):
        path = tmp_path / "cifar100" / f"{split}-0.parquet"
        write_parquet(path, [encode(random_pixels(32, 32, 3))], [99], columns=("img", "fine_label"))
    with pytest.raises(DataMismatchError, match=r"train images of class 0 \(apple\) should be 500, found 0"):
        load_dataset("cifar100", tmp_path)
