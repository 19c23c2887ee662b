"""This machine: one cell at a time, or several at once, each in its own process and, if possible, on its own GPU.

Cells side by side change no number: the threads of a cell follow from its work alone.
"""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import torch

from ddbench.errors import BadInputError
from ddbench.host.machine import memory_at_hand
from ddbench.host.processes import LONGEST_END
from ddbench.host.threads import threads_at_hand
from ddbench.registry import RUNNERS
from ddbench.runner import Needs, Outcome, Runner, RunnerOptions, Task, refuse_address
from ddbench.runners._worker import Worker

# Of the machine's memory that cells whose needs are known may take together.
SHARE_OF_MEMORY = 0.8


@RUNNERS.register("local")
class LocalRunner(Runner):
    """Runs cells on this machine.

    One job on a processor is done in this very process; every other in a worker, which does one after the other,
    because starting a process for each would take longer than most cells. After a cell that failed comes a new worker:
    an error on a GPU outlasts the cell that made it, and a process that was killed takes nothing else with it.
    """

    def __init__(self, options: RunnerOptions) -> None:
        super().__init__(options)
        refuse_address(options, "local")
        self._gpus = _shares_of_gpus(options)  # one for each cell that runs
        self._jobs = _count_jobs(options, len(self._gpus))
        self.here = self._jobs == 1 and not self._gpus
        self.at_once = self._jobs
        # With a number of jobs the user says how many fit; else their threads and memory do.
        self._counts = options.jobs == "auto" and not self._gpus
        self._idle: list[Worker] = []
        self._working: dict[Worker, Task] = {}
        self._own: Task | None = None

    def has_room(self, needs: Needs) -> bool:
        """Return whether a task would begin at once."""
        running = [task.needs for task in self._working.values()]
        if self._own is not None or len(running) >= self._jobs:
            return False
        if not running or not self._counts:
            return True
        memory = sum(other.memory_bytes or 0 for other in running) + (needs.memory_bytes or 0)
        threads = sum(other.threads for other in running) + needs.threads
        return threads <= self._jobs and memory <= SHARE_OF_MEMORY * (memory_at_hand() or float("inf"))

    def processors(self, needs: Needs) -> int:
        """Return a processor a thread; none where the user has said how many cells run at once, or on a GPU."""
        return 0 if self._gpus or (self._jobs > 1 and not self._counts) else needs.threads

    def start(self, task: Task) -> None:
        """Begin a task: in this process when `wait` is called, else at once in a worker."""
        if self.here:
            self._own = task
            return
        while True:
            is_new = not self._idle
            worker = Worker(self._free_gpu()) if is_new else self._idle.pop()
            try:
                worker.start(task)
            except BrokenProcessPool:  # killed from outside while it had nothing to do
                worker.end()
                if is_new:
                    raise
            else:
                self._working[worker] = task
                return

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended; the one task of this process is done here, however long it takes."""
        if self._own is not None:
            task, self._own = self._own, None
            return [Outcome(task, task.work(task.folder, task.reuse, task.report))]
        wait([worker.future for worker in self._working], timeout=seconds, return_when=FIRST_COMPLETED)
        outcomes = []
        for worker in [worker for worker in self._working if worker.future.done()]:
            task = self._working.pop(worker)
            outcome = worker.outcome_of(task)
            outcomes.append(outcome)
            if outcome.result is None or worker.is_spent(outcome.result):
                worker.end()
            else:
                self._idle.append(worker)
        return outcomes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._working:
            worker.interrupt()
        wait([worker.future for worker in self._working], timeout=LONGEST_END)
        for worker in (*self._working, *self._idle):
            worker.end()
        self._working, self._idle = {}, []

    def _free_gpu(self) -> str | None:
        """Return the name of a GPU that no worker has, as their environment takes it; None for all as they are."""
        if self._jobs == 1 or not self._gpus:
            return None
        taken = {worker.gpu for worker in (*self._working, *self._idle)}
        return next(gpu for gpu in self._gpus if gpu not in taken)


def _shares_of_gpus(options: RunnerOptions) -> list[str]:
    """Return the GPUs that cells may have, each cell's as CUDA_VISIBLE_DEVICES takes them.

    Raises:
        BadInputError: a cell is to have more than there are.
    """
    if options.device.type != "cuda":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    names = names[options.device.index or 0 :]
    if options.device.index is not None:
        names = names[: options.devices]
    size = options.devices
    if size > len(names):
        raise BadInputError(f"--devices must be at most {len(names)}, the GPUs that a cell may have, got {size}")
    return [",".join(names[first : first + size]) for first in range(0, len(names) - size + 1, size)]


def _count_jobs(options: RunnerOptions, gpus: int) -> int:
    """Return how many cells run at once at the most; raises BadInputError for more than there are GPUs."""
    if options.jobs == "auto":
        return gpus or threads_at_hand()
    jobs = options.jobs or 1
    if gpus and jobs > gpus:
        raise BadInputError(
            f"--jobs must be at most {gpus}, as the GPUs allow that cells may have, got {options.jobs}; "
            "take --jobs auto, or --device cuda for all GPUs"
        )
    return jobs
