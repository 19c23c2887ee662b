"""Step `rows`: cells of CIFAR-10's published table at published settings, as many whole ones as the time allows."""

from __future__ import annotations

import json
from typing import Any

from ddbench import load_dataset, run_suite
from ddbench.errors import DataMissingError
from ddbench.runs.dispatch import CellEvent
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Suite
from tests.gpu._step import Step, run_step

# Method and IPC, and the iterations of its preset: the quickest first. `random_real` has no settings.
CELLS = (
    ("random_real", 1, 0),
    ("random_real", 10, 0),
    ("dc", 1, 1_000),
    ("dsa", 1, 1_000),
    ("dm", 1, 20_000),
    ("dm", 10, 20_000),
)
# What `speed` has measured one iteration of, and what a cell takes beside its iterations: loading, draws, students.
MEASURED = {"dc": ("DC iteration, IPC 1", "ours"), "dsa": ("DSA iteration, IPC 1", "ours")}
MEASURED["dm"] = ("DM iteration, IPC 10", "ours, fp32")
BESIDE_SECONDS, DRAWS_FACTOR = 25.0, 2.0


def rows(step: Step) -> None:
    """Run the cells one by one; each is on disk when it has ended, and one that would not end is not begun."""
    found: list[dict[str, Any]] = []
    step.parts["results"] = found

    def keep(event: CellEvent) -> None:
        if event.result is None:
            return
        found.append(event.result.model_dump(mode="json"))
        accuracy = event.result.metric("test_accuracy")
        number = event.result.reason if accuracy is None else f"{100 * accuracy.mean:.2f} %"
        phases = ", ".join(f"{phase.name} {phase.reading.seconds:.1f} s" for phase in event.result.phases)
        step.say(f"{event.result.method}, IPC {event.result.ipc}: {number}; {phases}")
        step.expect(event.result.method, event.result.reason, holds=event.result.status == "ok")

    dataset = step.size("cifar10", "digits")
    try:
        load_dataset(dataset)
    except DataMissingError as error:
        step.say(f"not run: {error}")
        return
    options, seconds = RunOptions(device=step.device), _measured(step)
    for method, ipc, iterations in step.size(CELLS, CELLS[:1]):
        suite = _suite(method, ipc, dataset, step)
        needs = BESIDE_SECONDS + DRAWS_FACTOR * iterations * seconds.get(method, 0.0)
        step.part(
            f"{method}, IPC {ipc}", lambda s=suite: len(run_suite(s, step.work / "rows", options, keep)), needs=needs
        )


def _suite(method: str, ipc: int, dataset: str, step: Step) -> Suite:
    content = {
        "name": "gpu_rows",
        "protocol": step.size("dsa", "quick"),
        "datasets": [dataset],
        "ipc": [ipc],
        "students": step.size(5, 1),
        "distill_seeds": 1,
        "methods": [method if method == "random_real" else {"name": method, "preset": f"{method}_cifar10_ipc{ipc}"}],
    }
    return Suite.model_validate(content)


def _measured(step: Step) -> dict[str, float]:
    """Return the seconds of an iteration by method, as far as step `speed` has measured them into the same folder."""
    try:
        parts = json.loads((step.out / "speed.json").read_text(encoding="utf-8"))["parts"]
    except (OSError, ValueError, KeyError):
        return {}
    known = {method: (parts.get(part) or {}).get(variant, {}) for method, (part, variant) in MEASURED.items()}
    return {method: values["seconds"] for method, values in known.items() if "seconds" in values}


if __name__ == "__main__":
    run_step("rows", rows)
