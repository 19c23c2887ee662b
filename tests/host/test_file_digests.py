"""Tests of kept digests: what a file holds is known from one look at it, and never wrongly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddbench.errors import DataMismatchError
from ddbench.host import file_digests
from ddbench.host.cached_work import MANIFEST
from ddbench.host.file_digests import (
    DIGESTS_FILE,
    digest_files,
    find_listing,
    note_files,
    noting_files,
    recomputed_digests,
)
from ddbench.host.file_index import FileIndex
from ddbench.host.file_list import FileList

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Files count as settled at once, and nothing is known from another test."""
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", -1.0)
    monkeypatch.setattr(file_digests, "_known", {})


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / "set" / name for name in "abc"]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    return paths


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files whose bytes have been read."""
    names: list[str] = []
    plain = file_digests._digest_bytes
    monkeypatch.setattr(file_digests, "_digest_bytes", lambda path: names.append(path.name) or plain(path))
    return names


def forget() -> None:
    """Do as a new process would."""
    file_digests._known.clear()


def kept_file(own_cache) -> Path:
    (found,) = own_cache.glob(f"digests/*/{DIGESTS_FILE}")
    return found


def test_digests_are_of_the_bytes_in_order(files):
    expected = b"".join(xxhash.xxh3_128_digest(path.read_bytes()) for path in files)
    assert digest_files(files).digests == expected
    assert digest_files(files[::-1]).digest != digest_files(files).digest
    assert digest_files([]).digests == b""


def test_bytes_are_read_once_over_processes(files, read):
    first = digest_files(files)
    for _ in range(2):
        forget()
        assert digest_files(files).digests == first.digests
    assert sorted(read) == ["a", "b", "c"]


def test_a_changed_file_is_read_again_whatever_its_size_and_date_say(files, read):
    before = digest_files(files)
    times = files[1].stat().st_atime_ns, files[1].stat().st_mtime_ns
    files[1].write_bytes(b"B" * 100)
    os.utime(files[1], ns=times)
    assert [files[1].stat().st_size, files[1].stat().st_mtime_ns] == before.looks[1][:2].tolist()
    assert digest_files(files).digest != before.digest


def test_a_touched_or_renamed_file_is_the_same(files):
    before = digest_files(files)
    os.utime(files[0], ns=(5, 5))
    files[1] = files[1].rename(files[1].with_name("other"))
    assert digest_files(files).digest == before.digest


def test_what_changed_a_moment_ago_is_not_taken_from_the_cache(files, read, own_cache, monkeypatch):
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", 3600.0)
    for _ in range(2):
        digest_files(files)
    assert sorted(read) == ["a", "a", "b", "b", "c", "c"]
    assert not list(own_cache.glob("digests/*"))


def test_a_damaged_kept_digest_is_noticed(files, own_cache):
    before = digest_files(files)
    forget()
    path = kept_file(own_cache)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.warns(UserWarning, match=f"is made again: {DIGESTS_FILE} is missing or altered"):
        assert digest_files(files).digest == before.digest


def test_digests_that_were_replaced_with_their_manifest_are_found_out_when_recomputed(files, own_cache):
    right = digest_files(files)
    forget()
    folder = kept_file(own_cache).parent
    with file_digests.cached_work(file_digests._key_of(right.paths)) as work:
        (folder / DIGESTS_FILE).write_bytes(bytes(48))
        work.keep()
    assert digest_files(files).digests == bytes(48)  # a look alone cannot tell
    with recomputed_digests():
        with pytest.warns(UserWarning, match="were wrong and have been replaced"):
            assert digest_files(files).digest == right.digest
        assert digest_files(files).digest == right.digest
    forget()
    assert digest_files(files).digest == right.digest
    assert (folder / MANIFEST).is_file()


def test_recomputing_reads_each_file_once(files, read):
    digest_files(files)
    read.clear()
    with recomputed_digests():
        digest_files(files)
        digest_files(files)
    assert sorted(read) == ["a", "b", "c"]


def test_a_cache_that_cannot_be_written_is_not_needed(files, own_cache):
    own_cache.mkdir(exist_ok=True)
    (own_cache / "digests").write_text("in the way")
    assert digest_files(files).digest == digest_files(files).digest


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to(path), "link that leads back to itself"),
        (lambda path: path.mkdir(), "should be a regular file"),
        (os.mkfifo, "should be a regular file"),
    ],
    ids=["absent", "loop", "folder", "pipe"],
)
def test_what_is_no_file_is_named(tmp_path, make, problem):
    make(tmp_path / "picture.png")
    with pytest.raises(DataMismatchError, match=rf"picture\.png [^\n]*{problem}"):
        digest_files([tmp_path / "picture.png"])


def test_a_file_that_changed_after_it_was_digested_is_refused(files):
    found = digest_files(files)
    found.check_unchanged()
    files[2].write_bytes(b"other")
    found.check_unchanged([0, 1])
    with pytest.raises(DataMismatchError, match=r"c has changed since it was first read; start again$"):
        found.check_unchanged()


def test_a_file_that_changes_while_it_is_read_is_refused(files, monkeypatch):
    def change(path: Path) -> bytes:
        path.write_bytes(b"changed meanwhile")
        return bytes(16)

    monkeypatch.setattr(file_digests, "_digest_bytes", change)
    with pytest.raises(DataMismatchError, match="has changed since it was first read"):
        digest_files(files)


@pytest.mark.parametrize("change", ["content", "added", "removed"])
def test_notes_hold_until_something_changes(files, change):
    with noting_files() as notes:
        note_files(files[0].parent)
        digest_files(files)
    assert len(notes.looks) + sum(len(listed) for listed, _ in notes.lists) == 4
    assert notes.still_hold()
    match change:
        case "content":
            files[0].write_bytes(b"A" * 100)
        case "added":
            (files[0].parent / "d").touch()
        case "removed":
            files[2].unlink()
    assert not notes.still_hold()


def test_notes_of_what_changed_a_moment_ago_do_not_hold(files, monkeypatch):
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", 3600.0)
    with noting_files() as notes:
        note_files(*files)
    assert not notes.still_hold()


def test_outside_of_notes_nothing_is_noted(files):
    note_files(*files)
    with noting_files() as notes:
        pass
    assert notes.looks == {}
    assert notes.still_hold()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4),
    data=st.data(),
)
def test_one_changed_byte_of_any_file_changes_the_digest(tmp_path, contents, data):
    paths = [tmp_path / str(index) for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    before = digest_files(paths)
    which = data.draw(st.integers(0, len(contents) - 1))
    place = data.draw(st.integers(0, len(contents[which]) - 1))
    changed = bytearray(contents[which])
    changed[place] ^= data.draw(st.integers(1, 255))
    paths[which].write_bytes(changed)
    assert digest_files(paths).digest != before.digest
    paths[which].write_bytes(contents[which])
    assert digest_files(paths).digest == before.digest


def test_of_files_that_are_added_or_changed_only_these_are_read(files, read):
    digest_files(files)
    read.clear()
    files[1].write_bytes(b"other")
    forget()
    digest_files(files)
    assert read == ["b"]
    read.clear()
    forget()
    found = find_listing([files[0].parent])
    assert found is None  # the files were named and not searched for
    listed = [*files, files[0].with_name("d")]
    listed[3].write_bytes(b"d")
    assert digest_files(listed).digests == b"".join(xxhash.xxh3_128_digest(path.read_bytes()) for path in listed)


def test_rows_of_a_kept_index_are_found_among_other_files(files):
    kept = digest_files(files)
    index = FileIndex(kept.paths, kept.looks, kept.digests)
    others = FileList.of([files[2], files[0].with_name("new"), files[0]])
    looks = np.stack([kept.looks[2], kept.looks[1], kept.looks[0] + 1])
    is_there, digests = index.find(others, looks)
    assert is_there.tolist() == [True, False, False]
    assert digests[0].tobytes() == kept.digests[32:]
    assert not digests[1:].any()
