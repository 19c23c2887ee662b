"""Gzip files are unpacked to the size that they should have, and one byte further to see that there is more."""

from __future__ import annotations

import gzip
import os

import pytest

from ddbench.errors import BadInputError
from ddbench.inputs.packed import read_packed


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("wanted", [0, 10, 99, 100, 101, 1000])
def test_at_most_a_byte_too_many_is_read(tmp_path, packed, wanted):
    content = bytes(range(100))
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    found = read_packed(path, "idx file", lambda start: wanted)
    assert found == content[: max(64, wanted + 1)]


def test_the_size_follows_from_the_first_bytes(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\7" + bytes(1000)))
    assert len(read_packed(tmp_path / "a.gz", "idx file", lambda start: 100 * start[0])) == 701


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    assert path.stat().st_size < 60_000
    assert len(read_packed(path, "idx file", lambda start: 100)) == 101
    with pytest.raises(BadInputError, match=r"claims 10,000,000,000 bytes and has at most [0-9,]+; fetch it again"):
        read_packed(path, "idx file", lambda start: 10**10)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: whole[:12], lambda whole: b"x" + whole])
def test_damaged_files_are_one_line(tmp_path, damage):
    path = tmp_path / "a.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(200)))))
    with pytest.raises(BadInputError, match=r"^idx file [^\n]*a\.gz is damaged: [^\n]*; fetch or copy it again$"):
        read_packed(path, "idx file", lambda start: 200)


def test_a_flipped_bit_is_seen(tmp_path):
    whole = bytearray(gzip.compress(os.urandom(200)))
    whole[-6] ^= 1  # in the checksum
    (tmp_path / "a.gz").write_bytes(whole)
    with pytest.raises(BadInputError, match="is damaged"):
        read_packed(tmp_path / "a.gz", "idx file", lambda start: 200)


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.gz")
    with pytest.raises(BadInputError, match="but is a named pipe"):
        read_packed(tmp_path / "pipe.gz", "idx file", lambda start: 0)
