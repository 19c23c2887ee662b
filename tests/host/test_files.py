"""Tests of atomic files and folders: whole or not there, whatever happens while they are written."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ddbench.errors import BadInputError
from ddbench.host import files
from ddbench.host.files import (
    baselines_dir,
    find_cache_dir,
    make_folder,
    sha256_of,
    staged_file,
    staged_folder,
    write_text,
)
from ddbench.host.leftovers import this_place


@pytest.fixture(scope="module")
def dead_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def below_a_file(tmp_path):
    """A place that nobody can write to, root included."""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "below"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(target, text):
    with staged_folder(target) as staging:
        (staging / "inner").mkdir()
        (staging / "inner" / "file.txt").write_text(text)


def make_leftover(folder, name):
    """A staging folder as a killed process leaves it."""
    (folder / name).mkdir()
    (folder / name / "half.txt").write_text("ha")


@pytest.mark.parametrize("there", ["a filled folder", "a file"])
def test_what_came_to_be_there_meanwhile_stays_where_it_may_not_be_replaced(tmp_path, there):
    target = tmp_path / "target"
    with pytest.raises(BadInputError, match="was written by another process meanwhile, and stays as it is"):  # noqa: PT012, SIM117
        with staged_folder(target, replace=False) as staging:
            (staging / "mine").write_text("later")
            if there == "a file":
                target.write_text("earlier")
            else:
                (target / "inner").mkdir(parents=True)
                (target / "inner" / "file.txt").write_text("earlier")
    assert names(tmp_path) == ["target"]
    assert (target.read_text() if there == "a file" else (target / "inner" / "file.txt").read_text()) == "earlier"
    with staged_folder(tmp_path / "new", replace=False) as staging:
        (staging / "mine").write_text("whole")
    assert names(tmp_path / "new") == ["mine"]


def test_checksum_is_the_standard_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_text_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    for text in ("first, and longer", "sécond"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_bytes() == text.encode()
    assert names(tmp_path) == ["a.txt"]


def test_text_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "write",
    [lambda path: write_text(path, "x"), make_folder, lambda path: fill(path / "target", "x")],
    ids=["text", "folder", "staged"],
)
def test_place_that_cannot_be_written_is_one_line(below_a_file, write):
    with pytest.raises(BadInputError, match=r"cannot write .*below.*: Not a directory; choose a writable") as caught:
        write(below_a_file)
    assert "\n" not in str(caught.value)


def test_folder_appears_whole_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "target"
    with staged_folder(target) as staging:
        (staging / "file.txt").write_text("x")
        assert not target.exists()
        assert staging.parent == target.parent
        assert staging.name.startswith(".")
    assert names(target) == ["file.txt"]
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_no_target_and_no_leftovers(tmp_path, error):
    target = tmp_path / "target"
    with pytest.raises(error), staged_folder(target) as staging:  # noqa: PT012 - what it leaves is the test
        (staging / "file.txt").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_existing_target_is_replaced_whole(tmp_path):
    target = tmp_path / "target"
    fill(target, "old")
    (target / "only_old.txt").touch()
    fill(target, "new")
    assert names(target) == ["inner"]
    assert (target / "inner" / "file.txt").read_text() == "new"
    assert names(tmp_path) == ["target"]


def test_exception_keeps_an_existing_target(tmp_path):
    fill(tmp_path / "target", "old")
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "target"):
        _ = 1 / 0
    assert (tmp_path / "target" / "inner" / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path, dead_process):
    living = f".tmp-target-{os.getppid()}"
    for name in (living, f".tmp-target-{dead_process}", f".tmp-target-{os.getpid()}"):
        make_leftover(tmp_path, name)
    fill(tmp_path / "target", "x")
    assert names(tmp_path) == [living, "target"]
    assert names(tmp_path / "target") == ["inner"]


@pytest.mark.parametrize("name", ["target-b", "target-7", "old-target", "my notes"])
def test_leftovers_of_other_targets_stay(tmp_path, dead_process, name):
    leftovers = [f".tmp-{name}-{dead_process}", ".tmp-target-notes"]
    for leftover in leftovers:
        make_leftover(tmp_path, leftover)
    fill(tmp_path / "target", "x")
    assert names(tmp_path) == sorted([*leftovers, "target"])


def test_one_target_inside_the_block_of_another_of_a_longer_name(tmp_path):
    with staged_folder(tmp_path / "target-b") as outer:
        (outer / "file.txt").touch()
        fill(tmp_path / "target", "x")
    assert names(tmp_path) == ["target", "target-b"]


def test_names_with_wildcards_are_taken_literally(tmp_path, dead_process):
    make_leftover(tmp_path, f".tmp-set[1]*-{dead_process}")
    make_leftover(tmp_path, f".tmp-set1-{dead_process}")
    fill(tmp_path / "set[1]*", "x")
    assert names(tmp_path) == [f".tmp-set1-{dead_process}", "set[1]*"]


def test_target_of_a_run_killed_between_the_two_renames_comes_back(tmp_path, dead_process):
    make_leftover(tmp_path, f".tmp-target-{dead_process}-old")
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "target"):
        _ = 1 / 0
    assert names(tmp_path) == ["target"]
    assert names(tmp_path / "target") == ["half.txt"]


def test_replaced_target_of_a_killed_run_goes_where_the_new_one_stands(tmp_path, dead_process):
    fill(tmp_path / "target", "new")
    make_leftover(tmp_path, f".tmp-target-{dead_process}-old")
    fill(tmp_path / "target", "newer")
    assert names(tmp_path) == ["target"]
    assert (tmp_path / "target" / "inner" / "file.txt").read_text() == "newer"


def test_kill_in_the_middle_of_writing_leaves_no_target(tmp_path):
    target = tmp_path / "target"
    code = f"""
import sys
from pathlib import Path
from ddbench.host.files import staged_folder
with staged_folder(Path({str(target)!r})) as staging:
    (staging / "first.txt").write_text("half of it")
    print("writing", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        assert names(tmp_path) == [f".tmp-target-{this_place()}-{process.pid}"]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    fill(target, "whole")
    assert names(tmp_path) == ["target"]
    assert (target / "inner" / "file.txt").read_text() == "whole"


def test_a_staged_file_takes_its_place_only_when_its_block_ends(tmp_path):
    (tmp_path / "a").write_text("old")
    with staged_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"
    assert names(tmp_path) == ["a"]


def write_half(path):
    with staged_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")


def test_a_staged_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_staged_file_that_cannot_be_written_is_an_error_of_one_line(below_a_file):
    with pytest.raises(BadInputError, match=r"cannot write .*choose a writable place"):
        write_half(below_a_file)


def test_cache_folder_is_the_variable_or_the_users(own_cache, monkeypatch):
    assert find_cache_dir() == own_cache
    monkeypatch.setenv("DDBENCH_CACHE_DIR", "~/elsewhere")
    assert find_cache_dir() == Path.home() / "elsewhere"
    monkeypatch.delenv("DDBENCH_CACHE_DIR")
    assert find_cache_dir().name == "ddbench"


def test_a_wheel_keeps_its_baselines_inside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "__file__", str(tmp_path / "ddbench" / "host" / "files.py"))
    (tmp_path / "ddbench").mkdir()
    assert baselines_dir() == tmp_path / "baselines"
    (tmp_path / "ddbench" / "baselines").mkdir()
    assert baselines_dir() == tmp_path / "ddbench" / "baselines"


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for start, name in (("old", "there"), (None, "new")):
        if start is not None:
            (tmp_path / "elsewhere" / name).write_text(start)
        (tmp_path / f"to {name}").symlink_to(f"elsewhere/{name}")
        write_text(tmp_path / f"to {name}", "text")
        assert (tmp_path / f"to {name}").is_symlink()
        assert (tmp_path / "elsewhere" / name).read_text() == "text"
    assert names(tmp_path / "elsewhere") == ["new", "there"]


def test_a_loop_of_links_is_one_line(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BadInputError, match=r"cannot write .*symbolic links"):
        write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").is_symlink()
    assert names(tmp_path) == ["a", "b"]


def test_a_named_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        write_text(tmp_path / "pipe", "text")
        assert read.result(timeout=10) == "text"
    assert names(tmp_path) == ["pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("place", ["/dev/null", "link"])
def test_devices_are_written_to(tmp_path, place):
    (tmp_path / "link").symlink_to("/dev/null")
    write_text(Path(place) if place.startswith("/") else tmp_path / place, "text")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(tmp_path) == ["link"]


def test_a_full_device_is_one_line():
    with pytest.raises(BadInputError, match="cannot write /dev/full: No space left on device"):
        write_text(Path("/dev/full"), "text")


def test_a_stream_that_is_a_file_goes_on_where_it_stands(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ddbench.host.files import write_text\n"
        "print('before', flush=True); write_text(Path('/dev/stdout'), 'text\\n'); print('after')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"


def test_a_folder_is_never_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").symlink_to("elsewhere")
    with pytest.raises(BadInputError, match=r"target is a link and would be replaced"):
        fill(tmp_path / "target", "x")
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_folder_that_cannot_be_filled_is_one_line_and_leaves_nothing(tmp_path, error):
    def fill_with_error():
        with staged_folder(tmp_path / "target") as staging:
            (staging / "half").touch()
            raise error

    with pytest.raises(BadInputError, match=r"cannot write .*target: (No space|I/O error)"):
        fill_with_error()
    assert names(tmp_path) == []
