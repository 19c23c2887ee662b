"""How well a suite fills many workers: the plot in docs/cluster.md, by simulation with the real scheduling order.

`uv run python docs/suite_scaling.py docs/suite_scaling.png`. The 10,000 cells last as long as recorded ones did: those
of `baselines/results`, each with every method's preparation made once, repeated over seeds with a spread of 20 %.
"""

from __future__ import annotations

import heapq
import random
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt

from ddbench.runner import Needs
from ddbench.runs.results_store import read_results
from ddbench.runs.schedule import Job, Schedule

CELLS, SPREAD = 10_000, 0.2
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RECORDED = Path(__file__).resolve().parents[1] / "baselines" / "results" / "epyc_2_cores"


def recorded_durations() -> list[tuple[str, float, float]]:
    """Return what recorded cells took: a name of what they share, seconds of preparing it, the other seconds."""
    prepares: dict[str, list[float]] = {}
    rests: dict[str, list[float]] = {}
    shared: dict[str, str] = {}
    for result in read_results([RECORDED], on_problem=print):
        if result.status == "ok":
            kind = f"{result.title} {result.protocol}"
            shared[kind] = f"{result.method} {result.dataset}"
            seconds = {phase.name: phase.reading.seconds for phase in result.phases}
            prepares.setdefault(shared[kind], []).append(seconds.get("prepare", 0.0))
            rests.setdefault(kind, []).append(seconds.get("distill", 0.0) + seconds.get("evaluate", 0.0))
    return [
        (shared[kind], statistics.median(prepares[shared[kind]]), statistics.median(rests[kind]))
        for kind in sorted(rests)
    ]


def make_jobs(generator: random.Random) -> tuple[list[Job], dict[int, tuple[float, float]]]:
    """Return the cells of a large suite, with the forecast of each, and the seconds that they will really take."""
    kinds = recorded_durations()
    jobs, seconds = [], {}
    for index in range(CELLS):
        name, prepare, rest = kinds[index % len(kinds)]
        shares = (f"{name} seed {index // len(kinds)}",) if prepare else ()
        jobs.append(Job(index, Needs(), prepare + rest, shares))
        seconds[index] = (prepare, rest * generator.uniform(1 - SPREAD, 1 + SPREAD))
    return jobs, seconds


def makespan(
    jobs: Iterable[Job], seconds: dict[int, tuple[float, float]], workers: int, *, longest_first: bool
) -> float:
    """Return the seconds until the last cell has ended, and check that no worker does two at once."""
    schedule = Schedule(jobs, longest_first=longest_first)
    running: list[tuple[float, int, Job]] = []
    made: set[str] = set()
    now = 0.0
    while True:
        while (job := schedule.take(lambda _: len(running) < workers)) is not None:
            prepare, rest = seconds[job.index]
            is_maker = not made.issuperset(job.shares)
            made.update(job.shares)
            heapq.heappush(running, (now + rest + (prepare if is_maker else 0.0), job.index, job))
        if not running:
            return now
        now, _, job = heapq.heappop(running)
        schedule.ended(job, made=True)


def main(target: Path) -> None:
    """Simulate, print and draw."""
    jobs, seconds = make_jobs(random.Random(0))
    total = makespan(jobs, seconds, 1, longest_first=False)
    print(f"{CELLS:,} cells, {total / 3600:.1f} h on one worker, the longest {max(map(sum, seconds.values())):.0f} s")
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for longest_first, label, mark in ((True, "longest first", "o-"), (False, "order of the suite", "s--")):
        shares = []
        for workers in WORKERS:
            took = makespan(jobs, seconds, workers, longest_first=longest_first)
            shares.append(100 * total / workers / took)
            print(f"{label}, {workers} workers: {took / 3600:.2f} h, efficiency {shares[-1]:.1f} %")
        axes.plot(WORKERS, shares, mark, label=label)
    axes.set(xscale="log", xlabel="workers", ylabel="efficiency, %", ylim=(0, 105), xticks=WORKERS)
    axes.set_xticks(WORKERS, [str(count) for count in WORKERS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
