"""Seconds per student and peak memory by IPC and by number of students: the plot in docs/performance.md.

Run alone on a machine: `DDBENCH_DATA_DIR=... uv run python docs/scaling.py docs/scaling.png`. Training is cut to
`EPOCHS` epochs, whose seconds are shown as they are: they grow in proportion.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

EPOCHS = 51  # of the protocol's 1001
IPCS, STUDENTS = (1, 10, 50, 100), (1, 2, 4, 8)
PROTOCOL_NAMES = ("dsa", "dsa-bf16")


def measure(task: tuple[str, int, int]) -> dict[str, Any]:
    """Return what evaluating `random_real` on CIFAR-10 takes in a process of its own: seconds, bytes, engine."""
    from ddbench import distill, evaluate, load_dataset
    from ddbench.protocol import PROTOCOLS, Schedule

    name, ipc, students = task
    shortened = Schedule(epochs=EPOCHS, drop_at=EPOCHS // 2 + 1)
    protocol = PROTOCOLS.get(name).model_copy(update={"schedule": shortened})
    real = load_dataset("cifar10")
    result = evaluate(distill("random_real", real, ipc, seed=0), real, protocol=protocol, students=students)
    reading = next(phase.reading for phase in result.phases if phase.name == "evaluate")
    return {
        "protocol": name,
        "ipc": ipc,
        "students": students,
        "seconds_per_student": reading.seconds / students,
        "peak_host_mib": (reading.peak_host_bytes or 0) / 2**20,
        "engine": result.engine,
    }


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Plot seconds and memory by IPC, and by students at IPC 1."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharey="row", layout="constrained")
    panels = (("ipc", "students", "images per class"), ("students", "ipc", "students"))
    for column, (x, fixed, label) in enumerate(panels):
        for name in PROTOCOL_NAMES:
            chosen = [row for row in rows if row["protocol"] == name and row[fixed] == 1]
            for line, key in enumerate(("seconds_per_student", "peak_host_mib")):
                axes[line, column].plot([row[x] for row in chosen], [row[key] for row in chosen], "o-", label=name)
        axes[0, column].set_title(f"{fixed} = 1")
        axes[1, column].set_xlabel(label)
    axes[0, 0].set_ylabel(f"seconds per student\n({EPOCHS} epochs and the test)")
    axes[1, 0].set_ylabel("peak resident memory, MiB")
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.savefig(out, dpi=120)


def main() -> None:
    """Measure every point in turn, print it and plot all."""
    tasks = [(name, ipc, 1) for name in PROTOCOL_NAMES for ipc in IPCS]
    tasks += [(name, 1, students) for name in PROTOCOL_NAMES for students in STUDENTS[1:]]
    rows = []
    for task in tasks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (task,)))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
    draw(rows, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
