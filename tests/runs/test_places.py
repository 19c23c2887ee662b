"""Processors that runs on one results folder share: no more cells at once, everybody's turn comes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from ddbench.runs.places import Places
from tests.runs.test_suite_runner import write_suite

# Runs a suite on one processor and prints, for each cell, when it began and ended by the clock that processes share.
PROGRAM = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from ddbench.runs import cell_work
from ddbench.runs.suite_runner import run_suite

plain = cell_work.run_cell
def run_cell(*args):
    began = time.monotonic()
    result = plain(*args)
    print(began, time.monotonic(), flush=True)
    return result

cell_work.run_cell = run_cell
run_suite(sys.argv[1], sys.argv[2])
"""


def test_no_more_are_given_than_there_are(tmp_path):
    with Places(tmp_path, (0, 1)) as mine, Places(tmp_path, (0, 1)) as another:
        assert mine.reserve(1)
        mine.take("a")
        assert another.reserve(1)
        another.take("b")
        assert not mine.reserve(1)
        another.end("b")
        assert mine.reserve(1)


def test_who_waits_is_next_even_before_one_that_asks_more_often(tmp_path):
    with Places(tmp_path, (0,)) as mine, Places(tmp_path, (0,)) as another:
        assert mine.reserve(1)
        mine.take("a")
        assert not another.reserve(1)
        mine.end("a")
        assert not mine.reserve(1)
        assert another.reserve(1)
        another.take("b")
        assert not mine.reserve(1)
        another.end("b")
        assert mine.reserve(1)


def test_a_cell_of_two_threads_is_not_starved_by_cells_of_one(tmp_path):
    with Places(tmp_path, (0, 1)) as narrow, Places(tmp_path, (0, 1)) as wide:
        for name in "ab":
            assert narrow.reserve(1)
            narrow.take(name)
        assert not wide.reserve(2)
        narrow.end("a")
        assert not wide.reserve(2)
        assert not narrow.reserve(1)
        narrow.end("b")
        assert wide.reserve(2)


def test_more_threads_than_processors_get_all_of_them_and_what_needs_none_gets_none(tmp_path):
    with Places(tmp_path, (0, 1)) as mine, Places(tmp_path, (0, 1)) as another:
        assert mine.reserve(8)
        assert not another.reserve(1)
        assert another.reserve(0)
        another.let_go()
        assert mine.reserve(1)
        assert another.reserve(1)


def test_what_is_let_go_or_held_at_the_end_is_free_again(tmp_path):
    with Places(tmp_path, (0, 1)) as another:
        with Places(tmp_path, (0, 1)) as mine:
            assert mine.reserve(1)
            mine.take("a")
            assert not mine.reserve(2)
            assert not another.reserve(1)
            mine.let_go()
            assert another.reserve(1)
        assert another.reserve(2)


def test_processors_that_runs_do_not_share_are_in_nobodys_way(tmp_path):
    with Places(tmp_path, (0,)) as mine, Places(tmp_path, (1,)) as another:
        assert mine.reserve(1)
        assert another.reserve(1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processes bound to a processor")
def test_three_runs_on_one_processor_compute_one_cell_at_a_time_and_all_take_part(tmp_path):
    suite = write_suite(tmp_path / "s.yaml", distill_seeds=12, students=8)
    command = [sys.executable, "-c", PROGRAM, str(suite), str(tmp_path / "r")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    spans = []
    for run in runs:
        lines = run.communicate(timeout=200)[0].splitlines()
        assert run.returncode == 0
        assert lines
        spans += [tuple(map(float, line.split())) for line in lines]
    spans.sort()
    assert len(spans) == 12
    assert all(end <= began for (_, end), (began, _) in pairwise(spans))
