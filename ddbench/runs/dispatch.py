"""Hands a suite's cells to a runner as it has room for them, and writes what comes back, each cell once."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import TracebackType

from ddbench.errors import check_not_told_to_end
from ddbench.host.clock import Pace, Stopwatch, utc_now
from ddbench.host.threads import threads_at_hand
from ddbench.images import DatasetInfo
from ddbench.method import untracked
from ddbench.records import Result, Status
from ddbench.runner import Needs, Outcome, Runner, Task
from ddbench.runs.cell import unfinished_result
from ddbench.runs.cell_work import CellWork
from ddbench.runs.distill import RunOptions
from ddbench.runs.jobs import JobMaker
from ddbench.runs.places import Places
from ddbench.runs.results_store import Store, write_result
from ddbench.runs.running import CellFile, RunFile
from ddbench.runs.schedule import Job, Schedule, WorkLeft
from ddbench.runs.set_reuse import find_reusable
from ddbench.runs.suite import Cell
from ddbench.runs.turns import FINISHED, Turns

MOST_TRIES, AGAIN_SECONDS = 3, 10.0  # of a cell whose machine was lost, and until it is tried again
POLL_SECONDS, ELSEWHERE_SECONDS = 0.5, 5.0  # between looks at what runs here, and at what another run has
PROCESSOR_SECONDS = 0.05  # between looks for a processor that another run gives up


@dataclass(frozen=True)
class CellEvent:
    """A cell that is about to run (`result` None) or has ended.

    `was_there` marks one that another run finished, `elsewhere` one that another run is at work on and that is waited
    for, `no_processor` one that waits while other runs on the folder have all processors. `index` is its place in the
    suite, `ended` how many cells of it have ended, this one included.
    """

    cell: Cell
    index: int
    total: int
    result: Result | None = None
    was_there: bool = False
    elsewhere: bool = False
    no_processor: bool = False
    ended: int = 0


@dataclass
class _Running:
    """A cell that runs: its job, its folder until it is whole, its file for watchers, how often it was tried."""

    job: Job
    folder: Path
    closing: ExitStack
    file: CellFile
    tries: int = 1
    started_at: str = field(default_factory=utc_now)


class Dispatch:
    """One run of a suite's cells; where it ends early, what cells have made is kept.

    Args:
        cells: of the suite, in its order.
        infos: of their data sets, by spec.
        given: folders of the sets that are there, by key of their cells.
        store: the results folder.
        turns: at its cells, among the runs that share it.
        places: processors of this machine, among the same.
        runner: runs them.
        options: data folder, device, progress.
        file: of this run, for watchers.
        earlier: digests of unfinished results, by key, whose folders need not be set aside.
        on_event: is told of every cell that begins and ends.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        infos: Mapping[str, DatasetInfo],
        given: Mapping[str, Path],
        store: Store,
        turns: Turns,
        places: Places,
        runner: Runner,
        options: RunOptions,
        file: RunFile,
        earlier: Mapping[str, str],
        on_event: Callable[[CellEvent], None],
    ) -> None:
        self._cells, self._infos, self._given, self._store, self._turns = cells, infos, given, store, turns
        self._places, self._waits = places, False  # for a processor
        self._runner, self._options, self._file = runner, options, file
        self._earlier, self._on_event = earlier, on_event
        self._done: dict[int, Result] = {}
        self._failed = 0
        self._siblings: defaultdict[str, list[Cell]] = defaultdict(list)  # cells of one set
        self._running: dict[str, _Running] = {}
        self._again: list[tuple[Stopwatch, Task]] = []  # to be tried again, since when
        self._elsewhere: list[Job] = []
        self._schedule, self._work_left = Schedule(()), WorkLeft(())

    def __enter__(self) -> Dispatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        closing = ExitStack()  # closes all of them, also where one fails
        for running in self._running.values():
            closing.push(running.closing)
        closing.__exit__(kind, error, trace)

    def run(self) -> list[Result]:
        """Run every cell that is not done, and return the results of all."""
        self._schedule = Schedule(self._look(), longest_first=self._runner.at_once > 1)
        pace = Pace(ELSEWHERE_SECONDS)
        while self._schedule or self._running or self._elsewhere:
            check_not_told_to_end()
            self._start_what_fits()
            if self._running:
                for outcome in self._runner.wait(PROCESSOR_SECONDS if self._waits else POLL_SECONDS):
                    self._take(outcome)
            elif self._schedule or self._elsewhere:
                self._wait_for_others()
            if self._elsewhere and (not self._running or pace.is_due()):
                for job in self._elsewhere:
                    self._schedule.put_back(job)
                self._elsewhere.clear()
        return [self._done[index] for index in range(len(self._cells))]

    def _look(self) -> list[Job]:
        """Take down what is done, and return the jobs that the rest are."""
        maker = JobMaker(self._options, self._given.keys(), self._runner.options.device)
        jobs = []
        for index, cell in enumerate(self._cells):
            self._siblings[cell.distill_key].append(cell)
            found = self._turns.find(cell, tells=False)  # what cannot be used is told at its turn
            if found is not None:
                self._note(index, found, was_there=True)
            else:
                jobs.append(maker.job_of(index, cell))
        self._work_left = WorkLeft(jobs)
        self._tell_watchers()
        return jobs

    def _start_what_fits(self) -> None:
        # Not at once: a cluster may not know yet that a machine is gone.
        while self._again and self._again[0][0].seconds > AGAIN_SECONDS:
            if not self._runner.has_room(self._again[0][1].needs):
                break
            self._runner.start(self._again.pop(0)[1])
        self._waits = False
        while (job := self._schedule.take(self._has_room)) is not None:
            check_not_told_to_end()
            cell = self._cells[job.index]
            if not self._turns.take(cell):
                self._schedule.ended(job, made=False)
                self._elsewhere.append(job)
            elif found := self._turns.find(cell):  # it may have ended meanwhile
                self._turns.end(cell)
                self._schedule.ended(job, made=found.status == "ok")
                self._work_left.drop(job)
                self._note(job.index, found, was_there=True)
            else:
                self._start(job, cell)
        if not self._waits:
            self._places.let_go()

    def _has_room(self, needs: Needs) -> bool:
        """Return whether a cell can begin here; where other runs have the processors, this one is the next."""
        if not self._runner.has_room(needs):
            return False
        self._waits = not self._places.reserve(self._runner.processors(needs))
        return not self._waits

    def _start(self, job: Job, cell: Cell) -> None:
        self._on_event(CellEvent(cell, job.index, len(self._cells), ended=len(self._done)))
        if cell.key not in self._earlier:
            self._store.set_aside(cell.key)
        given = self._given.get(cell.key)
        if given is not None:
            self._store.rescue(cell.key)  # which clears what a killed run has left
        reuse = given or find_reusable(cell, self._siblings[cell.distill_key], self._store, self._infos[cell.dataset])
        closing = ExitStack()
        folder = closing.enter_context(self._store.writing(cell.key))
        file = self._file.of_cell(cell.key, cell.title, utc_now())
        closing.callback(file.remove)
        self._running[cell.key] = _Running(job, folder, closing, file)
        file({})
        self._places.take(cell.key)
        options = self._options if self._runner.here else replace(self._options, track=untracked)
        work = CellWork(cell, options, None if self._runner.here else threads_at_hand())
        self._runner.start(Task(cell.key, work, job.needs, folder, reuse, file))

    def _take(self, outcome: Outcome) -> None:
        """Write what came of a cell, or try it again where its machine and not the cell failed."""
        task = outcome.task
        running = self._running[task.name]
        result = outcome.result
        if result is None:
            roomier = self._runner.roomier(task.needs) if outcome.fault == "out_of_memory" else None
            if roomier is not None or (outcome.fault == "lost" and running.tries < MOST_TRIES):
                running.tries += 1
                _empty(running.folder)
                self._again.append((Stopwatch(), replace(task, needs=roomier or task.needs)))
                return
            result = self._given_up(outcome, running)
        del self._running[task.name]
        self._places.end(task.name)
        cell, job = self._cells[running.job.index], running.job
        with running.closing:
            write_result(result, running.folder)
        self._store.forget_rescued(cell.key)
        self._turns.end(cell)
        self._schedule.ended(job, made=result.status == "ok")
        self._work_left.ended(job)
        self._note(job.index, result)

    def _given_up(self, outcome: Outcome, running: _Running) -> Result:
        status: Status = "out_of_memory" if outcome.fault == "out_of_memory" else "failed"
        times = f" ({running.tries} times)" if running.tries > 1 else ""
        cell = self._cells[running.job.index]
        return unfinished_result(cell, self._options, status, outcome.reason + times, running.started_at)

    def _note(self, index: int, result: Result, *, was_there: bool = False) -> None:
        self._done[index] = result
        self._failed += result.status not in FINISHED
        cell, total, ended = self._cells[index], len(self._cells), len(self._done)
        if not was_there:
            self._tell_watchers()
        self._on_event(CellEvent(cell, index, total, result, was_there, ended=ended))

    def _tell_watchers(self) -> None:
        self._file.say(ended=len(self._done), failed=self._failed, left_seconds=self._work_left.seconds)

    def _wait_for_others(self) -> None:
        """Wait a moment for a cell that another run is at work on, or for room, with nothing else left to do."""
        job = self._elsewhere[0] if self._elsewhere else self._schedule.next
        if job is not None and (self._elsewhere or self._waits):
            cell, total, is_elsewhere = self._cells[job.index], len(self._cells), bool(self._elsewhere)
            ended, no_processor = len(self._done), not is_elsewhere
            self._on_event(CellEvent(cell, job.index, total, None, False, is_elsewhere, no_processor, ended))
        self._runner.wait(0)
        Event().wait(PROCESSOR_SECONDS if self._waits else POLL_SECONDS)


def _empty(folder: Path) -> None:
    """Remove what a lost attempt has left in a folder."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
