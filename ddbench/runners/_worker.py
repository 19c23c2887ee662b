"""A process that does tasks one after the other, for as long as the process that made it lives."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import torch

from ddbench.errors import tidy
from ddbench.host.processes import at_work, begin_child, ctrl_c_blocked
from ddbench.records import Result
from ddbench.runner import Outcome, Report, Task, Work

KILLED = "the cell's process was killed from outside; if it ran out of memory, use a larger machine or fewer --jobs"


class Worker:
    """One process.

    Attributes:
        gpu: the only GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None for all that this process sees.
        future: of the task that it was last given.
    """

    def __init__(self, gpu: str | None = None) -> None:
        self.gpu = gpu
        self.future: Future[Result] = Future()
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(gpu,))

    @property
    def process(self) -> int | None:
        """Its number, None before its first task and after its end."""
        return next(iter(self._pool._processes or {}), None)

    def start(self, task: Task) -> None:
        """Give it a task; what the task reports is written where the report of the task says, by the worker itself."""
        with ctrl_c_blocked():
            self.future = self._pool.submit(_run_and_clean_up, task.work, task.folder, task.reuse, task.report)

    def outcome_of(self, task: Task) -> Outcome:
        """Return what came of the task it was given, which has ended."""
        # Looked at, not raised: an interrupt of the worker alone is none of this process.
        error = self.future.exception()
        if error is None:
            return Outcome(task, self.future.result())
        is_killed = isinstance(error, BrokenProcessPool | KeyboardInterrupt)
        return Outcome(task, None, "killed", KILLED if is_killed else tidy(f"{type(error).__name__}: {error}"))

    @staticmethod
    def is_spent(result: Result) -> bool:
        """Return whether a process that gave this result should do no other task."""
        has_lost_a_graph = any("no CUDA graph" in str(value) for value in result.engine.values())
        return result.status not in ("ok", "skipped") or has_lost_a_graph

    def interrupt(self) -> None:
        """Tell it to end, so that what its task has made is kept."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGTERM)

    def end(self) -> None:
        """End it, by force where it is still at work."""
        if self.process is not None and not self.future.done() and self.future.running():
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
        self._pool.shutdown()


def _begin(gpu: str | None) -> None:
    """Prepare a new worker: its GPU, and what every process of ours is prepared with."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    begin_child()


def _run_and_clean_up(work: Work, folder: Path, reuse: Path | None, report: Report) -> Result:
    """Do a task and leave no memory of it to the next one."""
    try:
        with at_work():
            return work(folder, reuse, report)
    finally:
        gc.collect()
        with suppress(RuntimeError):  # of a GPU that a failed cell has left unusable: its result counts
            torch.cuda.empty_cache()
