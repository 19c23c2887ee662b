"""The order in which cells run: the longest first; what several share is made by one of them while the rest wait."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ddbench.host.clock import Stopwatch
from ddbench.runner import Needs


@dataclass(frozen=True)
class Job:
    """A cell that is still to run.

    Attributes:
        index: of the cell in the suite.
        needs: what it takes while it runs.
        cost: what it will take, in whatever unit all jobs have; None where that is unknown, which counts as longest.
        shares: names of work that jobs share and the first of them makes, such as a prepared folder.
    """

    index: int
    needs: Needs = field(default_factory=Needs)
    cost: float | None = None
    shares: tuple[str, ...] = ()


class Schedule:
    """Gives out jobs, each once.

    Args:
        jobs: all of them.
        longest_first: those of the most threads first, among them the longest, which leaves the least time in which
            some workers have nothing to do; else in the order of the suite.
    """

    def __init__(self, jobs: Iterable[Job], *, longest_first: bool = False) -> None:
        self._longest_first = longest_first
        self._ready = [(self._rank(job), job) for job in jobs]
        heapq.heapify(self._ready)
        self._makers: dict[str, Job] = {}
        self._made: set[str] = set()
        self._blocked: defaultdict[str, list[Job]] = defaultdict(list)
        self._left = len(self._ready)

    def __len__(self) -> int:
        """Jobs that have not been given out."""
        return self._left

    @property
    def next(self) -> Job | None:
        """The job that is next, None where all that are left wait for what others make."""
        return self._ready[0][1] if self._ready else None

    def take(self, has_room: Callable[[Needs], bool]) -> Job | None:
        """Return the next job, None where there is no room for it or all wait for work that others are making.

        A job that takes more threads than are free keeps those behind it waiting: it would starve otherwise.
        """
        while self._ready:
            _, job = self._ready[0]
            if being_made := [work for work in job.shares if work in self._makers]:
                heapq.heappop(self._ready)
                self._blocked[being_made[0]].append(job)
                continue
            if not has_room(job.needs):
                return None
            heapq.heappop(self._ready)
            self._left -= 1
            self._makers.update((work, job) for work in job.shares if work not in self._made)
            return job
        return None

    def ended(self, job: Job, *, made: bool) -> None:
        """Say that a job has ended, and whether what it shares is there now; where not, the next one makes it."""
        for work in [work for work, maker in self._makers.items() if maker is job]:
            del self._makers[work]
            if made:
                self._made.add(work)
            for waiting in self._blocked.pop(work, ()):
                self._push(waiting)

    def put_back(self, job: Job) -> None:
        """Take back a job that could not begin, or is to be done again."""
        self.ended(job, made=False)
        self._left += 1
        self._push(job)

    def _push(self, job: Job) -> None:
        heapq.heappush(self._ready, (self._rank(job), job))

    def _rank(self, job: Job) -> tuple[int, float, int]:
        if not self._longest_first:
            return 0, 0.0, job.index
        return -job.needs.threads, -math.inf if job.cost is None else -job.cost, job.index


class WorkLeft:
    """Says how long the jobs that are left will take, at the pace of those that this run has done.

    A job of unknown cost counts as the mean of the others.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = {job.index: job for job in jobs}
        known = [job.cost for job in self._jobs.values() if job.cost is not None]
        self._usual = sum(known) / len(known) if known else 1.0
        self._left = sum(map(self._cost, self._jobs.values()))
        self._done = 0.0
        self._watch = Stopwatch()

    def ended(self, job: Job) -> None:
        """Say that this run has done a job."""
        self._done += self._cost(job)
        self.drop(job)

    def drop(self, job: Job) -> None:
        """Say that another run has done a job."""
        if self._jobs.pop(job.index, None) is not None:
            self._left -= self._cost(job)

    @property
    def seconds(self) -> float | None:
        """Seconds, None before the first job has ended."""
        return self._watch.seconds * max(0.0, self._left) / self._done if self._done else None

    def _cost(self, job: Job) -> float:
        return self._usual if job.cost is None else job.cost
