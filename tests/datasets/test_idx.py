from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ddbench.datasets._idx import find_idx, read_idx, read_idx_split
from ddbench.errors import DataMismatchError, DataMissingError


def to_idx(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def images_and_labels(random_pixels):
    return random_pixels(4, 5, 5), np.array([3, 1, 0, 9], dtype=np.uint8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=arrays(np.uint8, st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple)), packed=st.booleans())
def test_what_was_written_is_read(tmp_path, values, packed):
    path = tmp_path / ("x-ubyte.gz" if packed else "x-ubyte")
    path.write_bytes(gzip.compress(to_idx(values)) if packed else to_idx(values))
    assert torch.equal(read_idx(path, values.ndim), torch.from_numpy(values))


def test_a_split_is_images_with_a_channel_and_long_labels(tmp_path, images_and_labels):
    images, labels = images_and_labels
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(to_idx(labels)))
    found_images, found_labels = read_idx_split(tmp_path, "train")
    assert torch.equal(found_images, torch.from_numpy(images).unsqueeze(1))
    assert found_labels.tolist() == [3, 1, 0, 9]
    assert found_labels.dtype == torch.int64


def test_the_plain_file_goes_before_the_packed_one(tmp_path):
    assert find_idx(tmp_path, "a") is None
    (tmp_path / "a.gz").touch()
    assert find_idx(tmp_path, "a") == tmp_path / "a.gz"
    (tmp_path / "a").touch()
    assert find_idx(tmp_path, "a") == tmp_path / "a"


@pytest.mark.parametrize("keep", [0, 5, 20, -1])
def test_a_truncated_gzip_file_is_named(tmp_path, images_and_labels, keep):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(to_idx(images_and_labels[0]))[:keep])
    with pytest.raises(DataMismatchError, match=r"^[^\n]*train-images-idx3-ubyte\.gz[^\n]*again$"):
        read_idx(path, 3)


def test_a_flipped_byte_in_a_gzip_file_is_found(tmp_path, images_and_labels):
    content = bytearray(gzip.compress(to_idx(images_and_labels[0])))
    content[len(content) // 2] ^= 1
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataMismatchError, match=r"x\.gz"):
        read_idx(path, 3)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"not an idx file at all", to_idx(np.zeros(3, dtype=np.uint8))])
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataMismatchError, match="is not an idx file of 3 dimensions"):
        read_idx(path, 3)


@pytest.mark.parametrize("change", [b"", b"\0\0"])
def test_too_few_or_too_many_values_are_refused(tmp_path, images_and_labels, change):
    path = tmp_path / "x"
    content = to_idx(images_and_labels[0])
    path.write_bytes(content + change if change else content[:-1])
    with pytest.raises(DataMismatchError, match="should hold 100 values"):
        read_idx(path, 3)


def test_images_and_labels_of_different_number_are_refused(tmp_path, images_and_labels):
    images, labels = images_and_labels
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(to_idx(labels[:3]))
    with pytest.raises(DataMismatchError, match="one label for each of 4 images, found 3"):
        read_idx_split(tmp_path, "train")


def test_a_missing_file_is_named(tmp_path, images_and_labels):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images_and_labels[0]))
    with pytest.raises(DataMissingError, match="neither train-labels-idx1-ubyte nor"):
        read_idx_split(tmp_path, "train")
