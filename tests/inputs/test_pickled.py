"""PyTorch's own files: nothing in them runs, and what unpacks to far more than it is stays packed."""

from __future__ import annotations

import argparse
import os
import warnings
import zipfile

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.inputs.pickled import SLACK, read_pickled


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_plain_values_come_back(tmp_path, zipped):
    content = {"model": {"w": torch.arange(3.0)}, "steps": 3, "names": ["a"]}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_pickled(tmp_path / "a.pt", "weight file")
    assert torch.equal(found["model"]["w"], torch.arange(3.0))
    assert (found["steps"], found["names"]) == (3, ["a"])


def test_code_is_not_run_unless_its_class_is_allowed(tmp_path):
    torch.save({"args": argparse.Namespace(a=1)}, tmp_path / "a.pt")
    with pytest.raises(BadInputError, match=r"holds Python code \(argparse.Namespace\) that would run on loading"):
        read_pickled(tmp_path / "a.pt", "weight file")
    assert read_pickled(tmp_path / "a.pt", "weight file", [argparse.Namespace])["args"].a == 1


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x80\x02", b"junk" * 100])
def test_damaged_files_are_one_line(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(
        BadInputError, match=r"^weight file [^\n]*a\.pt is damaged or not a PyTorch file; copy or download"
    ):
        read_pickled(tmp_path / "a.pt", "weight file")


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * (SLACK + 2**20))
    assert (tmp_path / "a.pt").stat().st_size < 2**20
    with pytest.raises(BadInputError, match=r"unpacks to [0-9,]+ bytes from [0-9,]+; save it uncompressed"):
        read_pickled(tmp_path / "a.pt", "weight file")


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInputError, match="but is a named pipe"):
        read_pickled(tmp_path / "pipe", "weight file")


def test_what_torch_says_of_rare_tensors_is_not_passed_on(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        torch.save(torch.eye(3).to_sparse_csr(), tmp_path / "a.pt")
    with warnings.catch_warnings(record=True, action="always") as said:
        read_pickled(tmp_path / "a.pt", "weight file")
    assert not said
