from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.datasets.mnist import TEST_COUNTS, TRAIN_COUNTS
from ddbench.errors import DataMismatchError, DataMissingError


@pytest.fixture
def raw(tmp_path):
    """Files with MNIST's labels, in class order, and with blank images."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, counts in (("train", TRAIN_COUNTS), ("t10k", TEST_COUNTS)):
        labels = np.repeat(np.arange(10, dtype=np.uint8), counts)
        header = struct.pack(">4B3I", 0, 0, 8, 3, len(labels), 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + bytes(len(labels) * 784))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + labels.tobytes()
        )
    return folder


def test_files_with_the_registered_counts_are_loaded(tmp_path, raw):
    real = load_dataset("mnist", tmp_path)
    assert real.train.images.shape == (60000, 1, 28, 28)
    assert real.test.images.shape == (10000, 1, 28, 28)
    assert real.train.class_counts().tolist() == list(TRAIN_COUNTS)
    assert (real.info.channels, real.info.image_size, real.info.num_classes) == (1, 28, 10)
    assert not real.info.may_be_mirrored
    expected = torch.tensor(-0.1307 / 0.3081)
    assert torch.allclose(real.test.normalised(torch.tensor([5])), expected)


def test_a_lost_image_is_noticed(tmp_path, raw):
    labels = (raw / "t10k-labels-idx1-ubyte").read_bytes()
    (raw / "t10k-labels-idx1-ubyte").write_bytes(labels[:-1] + b"\0")
    with pytest.raises(DataMismatchError, match=r"test images of class 0 \(0\) should be 980, found 981"):
        load_dataset("mnist", tmp_path)


def test_missing_files_name_the_command(tmp_path):
    with pytest.raises(DataMissingError, match="ddbench doctor --download mnist"):
        load_dataset("mnist", tmp_path)
