"""Safetensors files: what is cut off, claims too much or is something else is one line."""

from __future__ import annotations

import json
import os
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ddbench.errors import BadInputError
from ddbench.inputs.tensors import LARGEST_HEADER, read_tensors


@pytest.fixture
def path(tmp_path):
    save_file({"a": torch.arange(4.0), "b": torch.zeros(0, 3)}, tmp_path / "a.safetensors", {"what": "test"})
    return tmp_path / "a.safetensors"


def test_tensors_and_metadata_come_back(path):
    tensors, metadata = read_tensors(path, "file")
    assert torch.equal(tensors["a"], torch.arange(4.0))
    assert tensors["b"].shape == (0, 3)
    assert metadata == {"what": "test"}


def framed(header):
    return struct.pack("<Q", len(header)) + header


WRONG = {
    "nothing": b"",
    "seven bytes": b"\0" * 7,
    "a header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "a header longer than any": struct.pack("<Q", LARGEST_HEADER + 1) + b" " * 100,
    "a negative length": b"\xff" * 8 + b"{}",
    "no JSON": framed(b"x" * 30),
    "no UTF-8": framed(b"\xff" * 30),
    "deep": framed(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "a tensor beyond the end": framed(
        json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    ),
    "an unknown type": framed(json.dumps({"a": {"dtype": "F99", "shape": [], "data_offsets": [0, 0]}}).encode()),
    "a huge shape": framed(json.dumps({"a": {"dtype": "F32", "shape": [2**62] * 3, "data_offsets": [0, 0]}}).encode()),
    "a pickle": torch.tensor([1.0]).numpy().tobytes() + b"\x80\x04" * 20,
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_wrong_files_are_one_line(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"^file [^\n]*a\.safetensors is [^\n]*; copy it again$") as caught:
        read_tensors(path, "file")
    assert len(str(caught.value)) <= 300


@given(st.binary(max_size=60))
def test_any_bytes_are_one_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a"
    path.write_bytes(content)
    with pytest.raises(BadInputError):
        read_tensors(path, "file")


def test_a_file_cut_anywhere_is_refused(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInputError):
            read_tensors(path, "file")


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInputError, match="but is a named pipe"):
        read_tensors(tmp_path / "pipe", "file")
