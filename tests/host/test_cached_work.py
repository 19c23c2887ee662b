"""Tests of cached work: made once, alone, verified before every use, made again where it is not as it was."""

from __future__ import annotations

import json
import os
import threading

import pytest

from ddbench.errors import BadInputError
from ddbench.host.cached_work import MANIFEST, WorkKey, cached_work, is_kept, read_manifest
from ddbench.host.files import digest_of

pytestmark = pytest.mark.usefixtures("own_cache")


def make_key(**changes) -> WorkKey:
    return WorkKey(**{"kind": "trials", "name": "made", "dataset": "toy", "version": 1, "content": {"x": 1}} | changes)


def make(key: WorkKey | None = None, content: bytes = b"content", *, resumes: bool = False) -> tuple[bytes, bool]:
    """Use a piece of work, made where it is not there; return its content and whether it was there."""
    with cached_work(key or make_key(), resumes=resumes) as work:
        if work.account is None:
            (work.folder / "part").mkdir(exist_ok=True)
            for name in ("a", "part/b"):
                if not (work.folder / name).exists():
                    (work.folder / name).write_bytes(content)
            work.keep({"seconds": 1.5})
        assert work.account == {"seconds": 1.5}
        return b"".join((work.folder / name).read_bytes() for name in ("a", "part/b")), work.was_kept


def test_work_is_made_once(own_cache):
    assert not is_kept(make_key())
    assert make() == (b"contentcontent", False)
    assert make(content=b"never written") == (b"contentcontent", True)
    assert is_kept(make_key())
    assert make_key().folder.parent == own_cache / "trials"


@pytest.mark.parametrize(
    "changes",
    [{"kind": "others"}, {"name": "other"}, {"dataset": "other"}, {"version": 2}, {"content": {"x": 2}}],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_differs_is_other_work(changes):
    make()
    assert make(make_key(**changes), b"other") == (b"otherother", False)


def test_names_that_look_alike_are_apart_and_any_length_is_fine(own_cache):
    keys = [make_key(name=name) for name in ("a/b", "a_b", "a:b", "x" * 300)]
    assert len({key.folder for key in keys}) == 4
    for key in keys:
        assert not make(key)[1]
    assert len([path for path in (own_cache / "trials").iterdir() if path.is_dir()]) == 4


def damage_content(folder):
    (folder / "part" / "b").write_bytes(b"CONTENT")


def damage_in_silence(folder):
    """The same size and time of change, as of a disk that forgets."""
    path = folder / "part" / "b"
    stat = path.stat()
    path.write_bytes(b"kontent")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def remove_file(folder):
    (folder / "part" / "b").unlink()


def add_file(folder):
    (folder / "stranger").write_text("not of this work")


def damage_manifest(folder):
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("1.5", "1.4"))


def cut_manifest(folder):
    (folder / MANIFEST).write_bytes(b"")


def swap_manifest(folder):
    """That of other work, whole in itself."""
    make(make_key(content={"x": 2}))
    (folder / MANIFEST).write_bytes((make_key(content={"x": 2}).folder / MANIFEST).read_bytes())


DAMAGES = {
    damage_content: "part/b is missing or altered",
    remove_file: "part/b is missing or altered",
    add_file: "stranger is missing or altered",
    damage_manifest: "its kept.json is damaged",
    cut_manifest: "its kept.json is damaged",
    swap_manifest: "it is of other work",
}


@pytest.mark.parametrize("resumes", [False, True])
@pytest.mark.parametrize(("damage", "message"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_told_in_one_line_and_the_work_made_again(damage, message, resumes):
    make()
    damage(make_key().folder)
    with pytest.warns(UserWarning, match=f"^[^\n]* is made again: {message}$"):
        assert make(resumes=resumes) == (b"contentcontent", False)
    assert make() == (b"contentcontent", True)
    assert not (make_key().folder / "stranger").exists()


def test_damage_that_leaves_no_trace_in_the_folder_is_found_by_a_new_process(monkeypatch):
    make()
    damage_in_silence(make_key().folder)
    monkeypatch.setattr("ddbench.host.cached_work._verified", {})
    with pytest.warns(UserWarning, match="part/b is missing or altered"):
        assert make() == (b"contentcontent", False)


def test_an_edit_whose_time_was_put_back_is_seen_in_the_same_process():
    make()
    path = make_key().folder / "a"
    before = path.stat()
    with path.open("r+b") as file:  # in place: size, place on disk and, below, time of change stay the same
        file.write(b"C")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (before.st_size, before.st_ino, before.st_mtime_ns)
    with pytest.warns(UserWarning, match="is made again: a is missing or altered"):
        assert make() == (b"contentcontent", False)


def test_only_what_is_damaged_is_made_again_where_work_resumes():
    make()
    folder = make_key().folder
    whole = (folder / "a").stat().st_mtime_ns
    damage_content(folder)
    with pytest.warns(UserWarning, match="made again"):
        make(resumes=True)
    assert (folder / "a").stat().st_mtime_ns == whole


def test_a_manifest_that_names_files_elsewhere_reaches_none_of_them(tmp_path, own_cache):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    make()
    folder = make_key().folder
    content = read_manifest(folder)
    content["files"][os.path.relpath(precious, folder)] = [0, "0"]
    (folder / MANIFEST).write_text(json.dumps({**content, "digest": digest_of(content)}))
    with pytest.warns(UserWarning, match="made again"):
        make(resumes=True)
    assert precious.read_text() == "mine"


def test_work_that_ends_with_an_error_leaves_nothing_or_what_it_can_resume():
    def interrupt(resumes):
        with cached_work(make_key(), resumes=resumes) as work:
            (work.folder / "a").write_bytes(b"half")
            raise KeyboardInterrupt

    for resumes in (False, True):
        with pytest.raises(KeyboardInterrupt):
            interrupt(resumes)
        assert make_key().folder.exists() == resumes
        assert not is_kept(make_key())
    assert make(resumes=True) == (b"halfcontent", False)


def test_what_was_left_unfinished_is_no_part_of_work_that_cannot_resume():
    make_key().folder.mkdir(parents=True)
    (make_key().folder / "a").write_bytes(b"half")
    assert make() == (b"contentcontent", False)


def test_nothing_kept_leaves_nothing(own_cache):
    with cached_work(make_key()):
        pass
    assert not make_key().folder.exists()


def test_hidden_files_may_change():
    make()
    (make_key().folder / ".rows").write_bytes(b"grows")
    assert make() == (b"contentcontent", True)


def test_use_is_seen_by_the_time_of_the_manifest():
    make()
    os.utime(make_key().folder / MANIFEST, (1, 1))
    make()
    assert (make_key().folder / MANIFEST).stat().st_mtime > 1


def test_two_at_once_make_it_once():
    made, start = [], threading.Barrier(2)

    def run():
        start.wait()
        with cached_work(make_key()) as work:
            if work.account is None:
                made.append(1)
                (work.folder / "a").write_bytes(b"x" * 10**6)
                work.keep()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_a_cache_that_cannot_be_written_is_told(own_cache):
    own_cache.mkdir()
    (own_cache / "trials").write_text("a file where the folder should be")
    with pytest.raises(BadInputError, match="cannot write to folder"):
        make()
