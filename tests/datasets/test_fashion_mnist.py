from __future__ import annotations

import pytest

from ddbench.dataset import load_dataset
from ddbench.errors import DataMismatchError, DataMissingError


@pytest.mark.data
def test_the_official_files_have_the_registered_content(data_dir):
    real = load_dataset("fashion_mnist", data_dir)
    assert real.train.images.shape == (60000, 1, 28, 28)
    assert real.test.class_counts().tolist() == [1000] * 10
    assert real.train.images.float().div(255).mean().item() == pytest.approx(0.2860, abs=1e-4)
    assert real.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert real.info.class_names[9] == "ankle boot"
    assert real.info.fingerprint == "c1-1905b12bad376907"
    assert real.info.layout == "f2cc57babfcaf351"


def test_missing_files_name_the_command(tmp_path):
    with pytest.raises(DataMissingError, match="ddbench doctor --download fashion_mnist"):
        load_dataset("fashion_mnist", tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08")
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataMismatchError, match=r"train-images-idx3-ubyte\.gz"):
        load_dataset("fashion_mnist", tmp_path)
