"""Runners: where the cells of a suite run, on this machine or on others. One file in `ddbench/runners` is one runner.

A runner knows nothing of cells, results folders or order: it is handed tasks, as many as it says it has room for, and
gives back what came of each. Which task is next, what is done again and what is written is its caller's work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch

from ddbench.errors import BadInputError
from ddbench.inputs.values import as_count, as_text
from ddbench.records import Result
from ddbench.registry import RUNNERS

__all__ = ["RUNNERS", "Fault", "Needs", "Outcome", "Runner", "RunnerOptions", "Task", "make_runner"]

# Why a task has no result: its process was killed, its machine is gone, or had too little memory.
Fault = Literal["killed", "lost", "out_of_memory"]
Report = Callable[[Mapping[str, Any]], None]
Work = Callable[[Path, Path | None, Report], Result]


@dataclass(frozen=True)
class Needs:
    """What a task takes while it runs.

    Attributes:
        threads: of a processor, at least 1.
        gpus: for work on GPUs how many, else 0.
        memory_bytes: of the host, None where that is not known.
    """

    threads: int = 1
    gpus: int = 0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Task:
    """A piece of work that can be sent to another process.

    Attributes:
        name: unique among the tasks that run.
        work: does it: is given the folder to fill, the set to use again or None, and what to report progress to (a
            mapping of JSON values, from time to time). It is picklable, and an interrupt is all that it raises.
        needs: what it takes.
        folder: here; what `work` fills must lie in it when the task has ended.
        reuse: folder, here, of a distilled set.
        report: here; is told what the work reports.
    """

    name: str
    work: Work
    needs: Needs
    folder: Path
    reuse: Path | None
    report: Report


@dataclass(frozen=True)
class Outcome:
    """What came of a task: its result, or the fault that left it without one and where that was, in words."""

    task: Task
    result: Result | None
    fault: Fault | None = None
    reason: str = ""


@dataclass(frozen=True)
class RunnerOptions:
    """What a runner is told.

    Attributes:
        device: where cells compute; on another machine its own of that type.
        jobs: how many tasks run at once; `auto` for as many as there is room for; None for the runner's default.
        address: of a cluster, None for none.
        devices: GPUs of each task.

    Raises:
        BadInputError: a number of jobs that cannot be.
    """

    device: torch.device
    jobs: int | Literal["auto"] | None = None
    address: str | None = None
    devices: int = 1

    def __post_init__(self) -> None:
        if self.jobs not in (None, "auto"):
            as_count(self.jobs, "jobs")
        as_count(self.devices, "devices")


class Runner(ABC):
    """Runs tasks. It is entered before the first and left after the last, or to end what runs when told to end.

    Attributes:
        here: whether tasks run in this very process, one at a time, within `wait`.
        at_once: how many threads' worth of tasks may run at once at the most, as far as that is known; 1 for one task
            at a time, in the order of the suite.
    """

    here: bool = False
    at_once: int = 1

    def __init__(self, options: RunnerOptions) -> None:
        self.options = options

    def check(self) -> None:  # noqa: B027 - most can run wherever they are
        """Raise BadInputError where it cannot run, before anything is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027 - a runner may have nothing to end
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every task that runs, and whatever was started for them."""

    @abstractmethod
    def has_room(self, needs: Needs) -> bool:
        """Return whether a task would begin at once; true for any where nothing runs."""

    @abstractmethod
    def start(self, task: Task) -> None:
        """Begin a task that there is room for."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended since the last call, waiting so long for the first.

        Raises:
            DDBenchError: nothing can run any more, such as where a cluster is gone.
        """

    def processors(self, needs: Needs) -> int:
        """Return how many of this machine's processors a task takes that other runs here may want; 0 for none."""
        return 0

    def roomier(self, needs: Needs) -> Needs | None:
        """Return what a task needs that ran out of memory with `needs`, None where there is no larger place."""
        return None


def make_runner(name: str, options: RunnerOptions) -> Runner:
    """Return the runner called `name`.

    Raises:
        UnknownNameError: no such runner.
        BadInputError: options that it does not take, or a package that it needs and that is not there.
    """
    return RUNNERS.get(as_text(name, "runner"))(options)


def refuse_address(options: RunnerOptions, name: str) -> None:
    """Raise BadInputError where a runner that knows no clusters is given the address of one."""
    if options.address is not None:
        raise BadInputError(
            f"--address goes with a cluster and not with the runner {name}; add --runner ray, or leave it out"
        )
