"""Paths: what cannot be one is told in one line, and nothing but a regular file is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ddbench.errors import BadInputError
from ddbench.inputs.paths import as_path, check_regular

LONG_NAME = "x" * 256
LONG_PATH = "x/" * 2100

NO_PATHS = {
    "nothing": ("", "suite is empty"),
    "blanks": (" \t", "suite is empty"),
    "no path": (3, "suite must be a path, got int 3"),
    "a NUL byte": ("a\0b", "holds a NUL byte"),
    "a long name": (LONG_NAME, "is too long: at most 4095 bytes, and 255 between two slashes"),
    "a long path": (LONG_PATH, "is too long"),
    "another encoding": (os.fsdecode(b"a\xff"), "is not text in UTF-8"),
    "bytes": (b"a", "suite must be a path, got bytes"),
    "nobody's folder": ("~nobody-of-this-name/x", "write the folder out"),
}


@pytest.mark.parametrize(("given", "words"), NO_PATHS.values(), ids=NO_PATHS)
def test_what_is_no_path_is_told_in_one_line(given, words):
    with pytest.raises(BadInputError) as caught:
        as_path(given, "suite")
    message = str(caught.value)
    assert words in message
    assert len(message) <= 300
    assert message.isprintable()


def test_paths_that_are_some_come_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/none") == tmp_path / "none"
    assert as_path("a/b") == as_path(Path("a/b")) == Path("a/b")
    assert as_path("x" * 255) == Path("x" * 255)
    assert as_path("é/日本") == Path("é/日本")


def test_a_loop_of_links_is_no_path_even_to_write_to(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for path in (tmp_path / "a", tmp_path / "a" / "below"):
        with pytest.raises(BadInputError, match="is a link that leads back to itself; remove the loop"):
            as_path(path)
    with pytest.raises(BadInputError, match="is a link that leads back to itself"):
        check_regular(tmp_path / "a", "suite")


def test_regular_files_and_links_to_them_are_taken(tmp_path):
    (tmp_path / "file").write_text("abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert check_regular(tmp_path / "link", "suite").st_size == 3


def test_what_is_no_regular_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    for path, words in (
        (tmp_path, "must be a regular file, but is a folder; name the file"),
        (tmp_path / "pipe", "but is a named pipe"),
        (Path("/dev/zero"), "but is a device"),
        (tmp_path / "none", "does not exist; check the path"),
        (tmp_path / "file" / "x", "lies below a file, which is not a folder"),
    ):
        with pytest.raises(BadInputError, match=words):
            check_regular(path, "suite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    (tmp_path / "mine").write_text("")
    (tmp_path / "mine").chmod(0)
    with pytest.raises(BadInputError, match="may not be read by you; check its permissions"):
        check_regular(tmp_path / "mine", "suite")
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(BadInputError, match="may not be read by you; check the permissions of it and of its folders"):
        as_path(tmp_path / "closed" / "x")
