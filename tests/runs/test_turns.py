"""Tests of runs that share a results folder: real processes, each cell done once, killed runs taken over."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, read_results
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_runner import run_suite
from ddbench.runs.turns import LOCKS_FOLDER, Turns
from tests.runs.test_suite_runner import write_suite

CPU = RunOptions(device="cpu")
# Runs a suite; prints each cell that it computes when it begins, and hangs in one of them where asked to.
PROGRAM = """
import sys, time
from ddbench.runs import cell_work
from ddbench.runs.suite_runner import run_suite

plain = cell_work.run_cell
def run_cell(cell, *args):
    print("computes", cell.key, flush=True)
    if len(sys.argv) > 3 and cell.distill_seed == int(sys.argv[3]):
        time.sleep(3600)
    return plain(cell, *args)

cell_work.run_cell = run_cell
told = set()
def show(event):
    if event.elsewhere and event.cell.key not in told:
        told.add(event.cell.key)
        print("waits", event.cell.key, flush=True)
run_suite(sys.argv[1], sys.argv[2], on_event=show)
"""


def start(suite: Path, results: Path, *hangs_at: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(suite), str(results), *hangs_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def computed(output: str) -> list[str]:
    return [line.removeprefix("computes ") for line in output.splitlines() if line.startswith("computes ")]


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_compute_each_cell_once_and_all_see_all_results(runs, tmp_path):
    suite, results = write_suite(tmp_path / "s.yaml", distill_seeds=8, networks=["mlp-w4", "mlp-w5"]), tmp_path / "r"
    processes = [start(suite, results) for _ in range(runs)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * runs
    done = [key for output in outputs for key in computed(output)]
    assert sorted(done) == sorted(cell.key for cell in load_suite(suite).cells())
    assert sum(bool(computed(output)) for output in outputs) > 1
    alone = run_suite(suite, tmp_path / "alone", CPU)
    accuracies = {result.key: result.metric("test_accuracy") for result in read_results([results])}
    assert accuracies == {result.key: result.metric("test_accuracy") for result in alone}


@pytest.mark.slow
def test_what_a_killed_run_was_at_work_on_is_taken_over(tmp_path):
    suite, results = write_suite(tmp_path / "s.yaml", distill_seeds=3), tmp_path / "r"
    with start(suite, results, "0") as killed:
        assert killed.stdout.readline().startswith("computes ")
        other = start(suite, results)
        lines = [other.stdout.readline().split() for _ in range(3)]
        assert [line[0] for line in lines] == ["computes", "computes", "waits"]
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    rest = other.communicate(timeout=60)[0]
    assert computed(rest) == [lines[2][1]]
    assert {result.status for result in read_results([results])} == {"ok"}


def test_a_cell_that_another_run_ends_meanwhile_is_taken_as_it_is_even_if_it_failed(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=3)
    done = run_suite(suite, tmp_path / "other", CPU)
    store = Store(tmp_path / "r")
    store.prepare()
    failed = done[1].model_copy(update={"status": "failed", "reason": "another run's", "metrics": ()})
    store.add(done[2].model_copy(update={"status": "failed", "reason": "of yesterday", "metrics": ()}))
    cells = load_suite(suite).cells()
    (store.root / LOCKS_FOLDER).mkdir()
    other = FileLock(store.root / LOCKS_FOLDER / f"{cells[1].distill_key}.lock")
    other.acquire()
    seen = []

    def see(event):
        if event.elsewhere and other.is_locked:
            store.add(failed)
            other.release()
        if event.elsewhere or event.result:
            seen.append((event.index, event.result and event.result.status, event.was_there))

    results = run_suite(suite, store.root, CPU, see)
    assert seen[:3] == [(0, "ok", False), (2, "ok", False), (1, None, False)]
    assert seen[-1] == (1, "failed", True)
    assert [result.reason for result in results] == ["", "another run's", ""]


def test_cells_of_one_set_are_one_runs_until_the_last_of_them_ends(tmp_path):
    cells = load_suite(write_suite(tmp_path / "s.yaml", distill_seeds=1, networks=["mlp-w4", "mlp-w5"])).cells()
    assert len({cell.key for cell in cells}) == 2
    assert len({cell.distill_key for cell in cells}) == 1
    store = Store(tmp_path / "r")
    with Turns(store, {}) as mine, Turns(store, {}) as another:
        assert [mine.take(cell) for cell in cells] == [True, True]
        assert not another.take(cells[1])
        mine.end(cells[1])
        assert not another.take(cells[1])
        mine.end(cells[0])
        assert another.take(cells[1])
    with Turns(store, {}) as third:
        assert third.take(cells[0])
