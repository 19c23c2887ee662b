"""Tests of lists of files: the same paths as were given, in little memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.errors import DataMismatchError
from ddbench.host.file_list import FileList, look_at, look_at_all

names = st.text(st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(st.lists(names, min_size=1, max_size=3).map(lambda parts: Path("/", *parts)), max_size=8)


@given(given_paths=paths)
def test_a_list_is_the_paths_that_were_given(given_paths):
    files = FileList.of(given_paths)
    assert len(files) == len(given_paths)
    assert list(files) == files[:] == given_paths
    assert [files[row] for row in range(-len(files), 0)] == given_paths
    assert [*map(Path, files.texts(1, 3))] == given_paths[1:3]
    assert files[::-2] == given_paths[::-2]


@given(one=paths, other=paths)
def test_lists_are_the_same_where_their_paths_are(one, other):
    first, second = FileList.of(one), FileList.of(other)
    assert first.is_same(FileList.of(list(first)))
    assert first.is_same(second) == (one == other)
    assert (first.digest_of_paths() == second.digest_of_paths()) == (one == other)


def test_a_row_that_is_not_there_is_an_index_error():
    with pytest.raises(IndexError):
        FileList.of([Path("a")])[1]


def test_names_that_are_no_text_stay_as_they_are(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9.png", os.O_CREAT))
    (path,) = tmp_path.iterdir()
    assert list(FileList.of([path])) == [path]
    assert look_at_all(FileList.of([path]))[0].tolist() == list(look_at(path))


def test_a_file_that_is_gone_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(DataMismatchError, match=r"the file [^\n]*/b does not exist"):
        look_at_all(FileList.of([tmp_path / "a", tmp_path / "b"]))


def test_a_file_takes_few_bytes():
    count = 50_000
    tracemalloc.start()
    files = FileList.of_names((f"/data/train/n{row // 1000:08d}", f"n01440764_{row}.JPEG") for row in range(count))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / count < 40
    assert files[-1].name == f"n01440764_{count - 1}.JPEG"
