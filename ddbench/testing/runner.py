"""What every runner must keep to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Literal

import pytest
import torch

from ddbench.host.clock import Stopwatch
from ddbench.host.leftovers import is_process_alive
from ddbench.records import Result
from ddbench.registry import RUNNERS
from ddbench.runner import Needs, Outcome, Report, Runner, RunnerOptions, Task, make_runner

LONGEST = 120.0  # seconds that a test waits for tasks of a moment


class RunnerContract:
    """What a suite relies on in a runner. Set `name`."""

    name: ClassVar[str]
    jobs: ClassVar[int | Literal["auto"] | None] = None

    @pytest.fixture
    def runner(self) -> Iterator[Runner]:
        """A runner that is open."""
        with make_runner(self.name, RunnerOptions(torch.device("cpu"), self.jobs)) as runner:
            yield runner

    def test_it_is_a_runner_that_says_where_it_runs(self) -> None:
        """Registered under its name, a class of Runner with a docstring."""
        found = RUNNERS.get(self.name)
        assert isinstance(found, type), f"{self.name} must be a class, is {found!r}"
        assert issubclass(found, Runner), f"{self.name} must be a Runner, is {found!r}"
        assert RUNNERS.summary(self.name), "its file has no docstring for `ddbench list runners`"

    def test_every_task_gives_its_result_and_its_files_once(self, runner: Runner, tmp_path: Path) -> None:
        """A task's files lie in its folder, it has read the set given to it, and its reports have arrived."""
        given = tmp_path / "given"
        (given / "inner").mkdir(parents=True)
        (given / "inner" / "set").write_text("a set")
        tasks = [_task(tmp_path, f"task {number}", _write, given) for number in range(5)]
        outcomes = run_all(runner, tasks)
        assert sorted(outcome.task.name for outcome in outcomes) == [f"task {number}" for number in range(5)]
        for outcome in outcomes:
            assert outcome.result is not None, outcome.reason
            assert outcome.result.reason == "a set"
            assert (outcome.task.folder / "deep" / "file").read_text() == "made"
        assert "writing" in (tmp_path / "reports").read_text()

    def test_a_task_whose_process_is_killed_is_a_fault_and_takes_nothing_with_it(
        self, runner: Runner, tmp_path: Path
    ) -> None:
        """The others have their results."""
        if runner.here:
            pytest.skip("it runs tasks in the process that would be killed")
        tasks = [_task(tmp_path, name, work) for name, work in (("dies", _die), ("one", _write), ("two", _write))]
        outcomes = {outcome.task.name: outcome for outcome in run_all(runner, tasks)}
        assert outcomes["dies"].result is None
        assert outcomes["dies"].fault in ("killed", "lost")
        assert outcomes["dies"].reason
        assert outcomes["one"].result is not None
        assert outcomes["two"].result is not None

    def test_leaving_it_ends_what_runs(self, tmp_path: Path) -> None:
        """Nobody waits for a task that lasts an hour."""
        with make_runner(self.name, RunnerOptions(torch.device("cpu"), self.jobs)) as runner:
            if runner.here:
                pytest.skip("it runs tasks in this very process")
            runner.start(_task(tmp_path, "long", _last))
            watch = Stopwatch()
            while not (tmp_path / "process").exists() and watch.seconds < LONGEST:
                runner.wait(0.1)
            process = int((tmp_path / "process").read_text())
        watch = Stopwatch()
        while is_process_alive(process) and watch.seconds < LONGEST:
            Event().wait(0.1)
        assert not is_process_alive(process)


def run_all(runner: Runner, tasks: list[Task]) -> list[Outcome]:
    """Run tasks as a suite does, as there is room for them, and return what came of each."""
    outcomes: list[Outcome] = []
    waiting = list(tasks)
    watch = Stopwatch()
    while len(outcomes) < len(tasks):
        assert watch.seconds < LONGEST, f"{len(tasks) - len(outcomes)} tasks have not ended after {LONGEST:.0f} s"
        while waiting and runner.has_room(waiting[0].needs):
            runner.start(waiting.pop(0))
        outcomes += runner.wait(0.1)
    return outcomes


def _keep(path: Path, said: Mapping[str, Any]) -> None:
    """Keep what is reported in a file, where any process can."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{dict(said)}\n")


def _task(folder: Path, name: str, work: Any, given: Path | None = None) -> Task:  # noqa: ANN401 - a function below
    own = folder / name
    own.mkdir()
    return Task(name, partial(work, folder), Needs(), own, given, partial(_keep, folder / "reports"))


def _write(test: Path, folder: Path, reuse: Path | None, report: Report) -> Result:
    report({"doing": "writing"})
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("made")
    return _result("" if reuse is None else (reuse / "inner" / "set").read_text())


def _die(test: Path, folder: Path, reuse: Path | None, report: Report) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _last(test: Path, folder: Path, reuse: Path | None, report: Report) -> Result:
    temporary = test / "process.tmp"
    temporary.write_text(str(os.getpid()))
    temporary.replace(test / "process")
    Event().wait(3600)
    raise AssertionError


def _result(reason: str) -> Result:
    return Result(
        key="0" * 16,
        method="none",
        dataset="digits",
        ipc=1,
        network="none",
        students=1,
        distill_seed=0,
        eval_seed=0,
        config={},
        protocol="quick",
        protocol_hash="",
        status="skipped",
        reason=reason,
    )
