"""What runs now, as others see it: signs of life, progress, and files that go when it has ended."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ddbench.host.leftovers import this_place
from ddbench.method import untracked
from ddbench.runs import running
from ddbench.runs.running import (
    FOLDER,
    CellFile,
    Reporter,
    RunFile,
    RunningCell,
    RunningRun,
    clear_gone,
    is_gone,
    running_cells,
    running_runs,
)

SINCE = "2026-11-30T12:00:00+00:00"


def run_of(process=None, place=None):
    own = {"place": place or this_place(), "process": process or os.getpid(), "since": SINCE}
    return RunningRun(suite="small", total=4, **own)


def dead_process():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_run_and_its_cells_are_seen_while_they_last(tmp_path):
    with RunFile(tmp_path, run_of()) as file:
        file.say(ended=1, failed=1, left_seconds=5.0)
        cell = file.of_cell("0" * 16, "dm on digits", SINCE)
        other = file.of_cell("1" * 16, "dc on digits", SINCE)
        cell({"where": "here"})
        cell({"doing": "steps 1 of 2", "logged": {"loss": 0.5}})
        other({})
        ((run, quiet),) = running_runs(tmp_path)
        assert (run.ended, run.failed, run.left_seconds) == (1, 1, 5.0)
        assert not is_gone(run, quiet)
        found = [found for found, _ in running_cells(tmp_path)]
        assert [found.title for found in found] == ["dm on digits", "dc on digits"]
        assert (found[0].where, found[0].doing, found[0].logged) == ("here", "steps 1 of 2", {"loss": 0.5})
        cell.remove()
        assert len(running_cells(tmp_path)) == 1
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_what_a_killed_run_left_is_told_and_cleared_and_what_lives_stays(tmp_path):
    killed = run_of(dead_process())
    with RunFile(tmp_path, run_of()):
        (tmp_path / FOLDER / "run-killed.json").write_text(killed.model_dump_json())
        left = RunningCell(key="2" * 16, title="left", **killed.model_dump(include={"place", "process", "since"}))
        CellFile(tmp_path / FOLDER / "left.json", left)({})
        assert sorted(is_gone(run, quiet) for run, quiet in running_runs(tmp_path)) == [False, True]
        clear_gone(tmp_path)
        assert [run.process for run, _ in running_runs(tmp_path)] == [os.getpid()]
        assert running_cells(tmp_path) == []


def test_a_run_of_another_machine_counts_as_gone_when_it_is_silent(tmp_path, monkeypatch):
    elsewhere = run_of(dead_process(), "other-0123456789ab")
    with RunFile(tmp_path, elsewhere):
        ((run, quiet),) = running_runs(tmp_path)
        assert not is_gone(run, quiet)
        assert is_gone(run, running.SILENT_SECONDS + 1)


def test_files_that_are_damaged_or_cannot_be_written_stop_nothing(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "run-odd.json").write_text("{")
    (tmp_path / FOLDER / "odd.json").write_text(json.dumps({"key": 3}))
    assert running_runs(tmp_path) == running_cells(tmp_path) == []
    CellFile(tmp_path / "nowhere" / "a.json", RunningCell(key="", title="", place="", process=1, since=SINCE))({})


@pytest.mark.parametrize("since", ["", "yesterday", "2026-11-30T12:00:00"], ids=["empty", "words", "of no time zone"])
def test_a_moment_that_nothing_can_be_reckoned_from_is_a_damaged_file(tmp_path, since):
    with RunFile(tmp_path, run_of().model_copy(update={"since": since})) as file:
        file.of_cell("0" * 16, "dm on digits", SINCE)({"since": since})
        assert (running_runs(tmp_path), running_cells(tmp_path)) == ([], [])


@pytest.mark.parametrize("left", [float("nan"), float("inf")])
def test_a_duration_that_is_none_is_a_damaged_file(tmp_path, left):
    with RunFile(tmp_path, run_of()) as file:
        file.say(ended=1, failed=0, left_seconds=left)
        file.of_cell("0" * 16, "dm on digits", SINCE)({"left_seconds": left})
        assert (running_runs(tmp_path), running_cells(tmp_path)) == ([], [])


def test_a_file_that_is_being_written_is_not_read_and_goes_when_its_writer_was_killed(tmp_path):
    with RunFile(tmp_path, run_of()) as file:
        file.of_cell("0" * 16, "dm on digits", SINCE)({})
        left = tmp_path / FOLDER / f".{'0' * 16}.json"
        left.write_bytes((tmp_path / FOLDER / f"{'0' * 16}.json").read_bytes())
        assert len(running_cells(tmp_path)) == 1
        clear_gone(tmp_path)
        assert left.exists()
        os.utime(left, (0, 0))
        clear_gone(tmp_path)
        assert not left.exists()


def test_a_reporter_tells_the_loops_and_the_last_values_at_most_once_a_second(monkeypatch):
    said = []
    reporter = Reporter(said.append, untracked)
    due = iter([True, False, True, False])
    monkeypatch.setattr(reporter._pace, "is_due", lambda: next(due))
    outer = reporter.track(range(2), "epochs")
    next(outer)
    reporter.log("loss[3]", 0.25)
    inner = reporter.track(iter("abc"), "batches")
    next(inner)
    next(inner)
    reporter.log("note", "words")
    reporter.log("loss[4]", 0.125)
    assert said == [
        {"doing": "epochs 0 of 2", "left_seconds": None, "logged": {"loss": 0.25}},
        {"doing": "epochs 0 of 2, batches 1", "left_seconds": None, "logged": {"loss": 0.25, "note": "words"}},
    ]
    assert list(reporter._logged.items()) == [("note", "words"), ("loss", 0.125)]
