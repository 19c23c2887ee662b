"""`ddbench run` with several cells at once, as real processes: watched, told to end, read by nobody."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddbench.cli.main import main
from ddbench.runs.results_store import read_results
from tests.runs.test_suite_runner import SELECTS, write_suite

pytestmark = pytest.mark.usefixtures("own_cache")


def start(suite, root, *options, **streams):
    command = [sys.executable, "-m", "ddbench", "run", str(suite), "--results", str(root), "--device", "cpu", *options]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams})


def wait_until(found, seconds=150.0):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def long_suite(path):
    """Two cells that last until they are ended, as far as a test is concerned."""
    return write_suite(path, students=1000, distill_seeds=2)


def workers_of(process):
    """The processes below a run that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "status").read_text()
            except OSError:
                continue
            if f"PPid:\t{process.pid}\n" in words and "State:\tZ" not in words:
                found.append(int(folder.name))
    return found


def is_alive(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, -signal.SIGTERM, "ended by SIGTERM")],
)
def test_told_to_end_it_ends_its_workers_keeps_their_sets_and_says_how_to_go_on(tmp_path, number, code, words):
    root = tmp_path / "r"
    run = start(long_suite(tmp_path / "s.yaml"), root, "--jobs", "2")
    wait_until(lambda: len(list(root.glob(".tmp-*/distilled/distilled.json"))) == 2)
    workers = workers_of(run)
    assert len(workers) >= 2
    run.send_signal(number)
    _, said = run.communicate(timeout=60)
    assert run.returncode == code
    assert said.strip().splitlines()[-1] == f"ddbench: {words}; rerun the same command to continue"
    assert "Traceback" not in said
    wait_until(lambda: not any(map(is_alive, workers)), 20)
    assert len(list(root.glob(".rescued-*"))) == 2
    assert not list(root.glob("[!.]*"))


@pytest.mark.slow
def test_status_says_what_runs_and_that_a_run_was_killed_and_its_workers_end_with_it(tmp_path, capsys):
    root = tmp_path / "r"
    run = start(long_suite(tmp_path / "s.yaml"), root, "--jobs", "2")
    wait_until(lambda: len(list(root.glob(".tmp-*/distilled/distilled.json"))) == 2)
    wait_until(lambda: all(json.loads(path.read_text())["doing"] for path in root.glob(".running/[0-9a-f]*.json")))
    assert main(["status", str(root)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 results small: 0 of 2 cells done" in said
    assert "random_real on digits, ipc 1, convnet-d1-w8, seed 0" in said
    assert "; training " in said
    workers = workers_of(run)
    assert sum(f"process {worker}" in said for worker in workers) == 2
    run.kill()
    run.communicate()
    assert main(["status", str(root)]) == 0
    assert "the run was killed; run it again to continue" in " ".join(capsys.readouterr().out.split())
    wait_until(lambda: not any(map(is_alive, workers)), 30)


@pytest.mark.slow
def test_a_line_is_said_for_each_cell_that_ends_and_a_closed_pipe_ends_no_run(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=4)
    run = start(suite, tmp_path / "a", "--jobs", "auto")
    out, said = run.communicate(timeout=200)
    assert run.returncode == 0, said
    lines = [line for line in said.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    assert "random_real" in out
    run = start(suite, tmp_path / "b", "--jobs", "2")
    run.stderr.close()
    run.stdout.close()
    assert run.wait(timeout=200) == 141  # the table had nobody to read it
    assert len(read_results([tmp_path / "b"])) == 4


@pytest.mark.slow
def test_a_terminal_shows_what_runs(tmp_path):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    suite = write_suite(tmp_path / "s.yaml", methods=[SELECTS], students=40)
    run = start(suite, tmp_path / "r", "--jobs", "2", stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
    run.communicate(timeout=100)
    assert run.returncode == 0
    assert b"small: 0 of 2 cells done" in shown
    assert b"herding on digits, ipc 1" in shown
    assert b"[2/2] herding on digits" in shown


@pytest.mark.parametrize("given", ["0", "-1", "many", "1.5", "", "99999999"])
def test_a_number_of_cells_that_cannot_be_is_one_line(tmp_path, capsys, given):
    suite = write_suite(tmp_path / "s.yaml")
    assert main(["run", str(suite), "--results", str(tmp_path / "r"), "--jobs", given]) == 2
    assert "expected a number of cells from 1, or auto" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--runner", "rai"], "unknown runner 'rai'; did you mean ray?"),
        (["--address", "auto"], "--address goes with a cluster and not with the runner local; add --runner ray"),
        (["--runner", "ray", "--jobs", "2"], "--jobs says how many cells one machine runs"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(tmp_path, capsys, options, words):
    suite = write_suite(tmp_path / "s.yaml")
    assert main(["run", str(suite), "--results", str(tmp_path / "r"), *options]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_status_of_no_folder_is_one_line_and_of_a_quiet_one_says_so(tmp_path, capsys):
    assert main(["status", str(tmp_path / "none")]) == 2
    assert "is not a folder; name one that `ddbench run` writes to" in capsys.readouterr().err
    (tmp_path / "r").mkdir()
    assert main(["status", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'r'}: 0 results", "nothing runs in it"]


def test_a_cluster_that_is_not_there_is_told_before_anything_is_written(tmp_path, capsys):
    suite, root = write_suite(tmp_path / "s.yaml"), tmp_path / "r"
    assert main(["run", str(suite), "--results", str(root), "--runner", "ray", "--address", "127.0.0.1:9"]) == 2
    assert "no Ray cluster at 127.0.0.1:9 (nothing answers there); start one with" in capsys.readouterr().err
    assert not root.exists()
