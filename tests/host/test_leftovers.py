"""Tests of what killed processes leave: only what is surely dead goes, wherever it was written."""

import os
import subprocess
import sys
import time

import pytest

from ddbench.host import leftovers as module
from ddbench.host.files import staged_file, staged_folder
from ddbench.host.leftovers import DAY, beating, clear_leftovers, leftovers, staging_path, this_place

ELSEWHERE = "other-0123456789ab"


@pytest.fixture(scope="module")
def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def make(folder, name, *, days=0.0):
    """A folder with a file in it, last touched some days ago."""
    (folder / name).mkdir()
    (folder / name / "half.txt").write_text("ha")
    then = time.time() - days * DAY
    for path in (folder / name / "half.txt", folder / name):
        os.utime(path, (then, then))
    return folder / name


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_name_says_machine_boot_and_process(tmp_path):
    host, _, boot = this_place().partition("-")
    assert len(boot) == 12
    assert staging_path(tmp_path / "set").name == f".tmp-set-{host}-{boot}-{os.getpid()}"


def test_a_name_as_long_as_the_file_system_takes_can_be_staged(tmp_path):
    long = tmp_path / ("é" * 127)
    with staged_file(long) as temporary:
        temporary.write_text("x")
    with staged_folder(tmp_path / ("n" * 255)) as staging:
        (staging / "a").touch()
    assert names(tmp_path) == sorted([long.name, "n" * 255])


def test_long_names_that_begin_alike_have_different_temporary_names(tmp_path):
    assert staging_path(tmp_path / ("n" * 200 + "a")) != staging_path(tmp_path / ("n" * 200 + "b"))


@pytest.mark.parametrize("days", [0.0, 0.9])
def test_what_another_machine_writes_stays(tmp_path, dead_process, days):
    theirs = make(tmp_path, f".tmp-cell-{ELSEWHERE}-{dead_process}", days=days)
    with staged_folder(tmp_path / "cell"):
        pass
    assert theirs.is_dir()
    assert clear_leftovers(tmp_path) == []
    assert leftovers(tmp_path / "cell") == []


def test_what_nobody_has_touched_for_a_day_goes_whoever_wrote_it(tmp_path, dead_process):
    for name in (f".tmp-a-{ELSEWHERE}-{dead_process}", f".tmp-b-{ELSEWHERE}-{os.getppid()}", f".tmp-c-{dead_process}"):
        make(tmp_path, name, days=1.1)
    assert len(clear_leftovers(tmp_path)) == 3
    assert names(tmp_path) == []


def test_own_dead_ones_go_at_once_and_living_ones_never(tmp_path, dead_process):
    living = make(tmp_path, f".tmp-a-{this_place()}-{os.getppid()}", days=3)
    mine = make(tmp_path, f".tmp-a-{this_place()}-{os.getpid()}", days=3)
    make(tmp_path, f".tmp-a-{this_place()}-{dead_process}")
    (tmp_path / f".tmp-b.json-{this_place()}-{dead_process}").write_text("ha")
    clear_leftovers(tmp_path)
    assert names(tmp_path) == sorted([living.name, mine.name])


def test_names_of_older_versions_wait_for_a_day_unless_their_target_is_written(tmp_path, dead_process):
    old = make(tmp_path, f".tmp-a-{dead_process}")
    clear_leftovers(tmp_path)
    assert old.is_dir()
    with staged_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]


def test_what_is_to_be_spared_stays_and_an_old_folder_comes_back(tmp_path, dead_process):
    kept = make(tmp_path, f".tmp-a-{this_place()}-{dead_process}")
    make(tmp_path, f".tmp-b-{this_place()}-{dead_process}-old")
    clear_leftovers(tmp_path, spare=lambda path: path == kept)
    assert names(tmp_path) == sorted([kept.name, "b"])


@pytest.mark.parametrize("name", [".tmp-notes", ".tmp-a-b", "tmp-a-1", ".tmp--1x", "a-1"])
def test_names_of_other_forms_are_nobodys_leftovers(tmp_path, name):
    make(tmp_path, name, days=9)
    assert clear_leftovers(tmp_path) == []


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert clear_leftovers(tmp_path / "none") == []


def test_a_link_with_such_a_name_goes_and_what_it_leads_to_stays(tmp_path, dead_process):
    (tmp_path / "theirs").mkdir()
    (tmp_path / f".tmp-a-{this_place()}-{dead_process}").symlink_to("theirs")
    clear_leftovers(tmp_path)
    assert names(tmp_path) == ["theirs"]


def test_a_folder_that_is_being_filled_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    folder = make(tmp_path, "staging", days=5)
    with beating(folder):
        give_up = time.monotonic() + 10
        while folder.stat().st_mtime < time.time() - DAY:
            assert time.monotonic() < give_up
            time.sleep(0.005)
