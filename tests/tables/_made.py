"""Results made up for the tests of tables."""

from __future__ import annotations

import pandas as pd

from ddbench.records import MachineLoad, Metric, Phase, Reading, Result
from ddbench.tables.table import make_table

CPU = {"id": "a1b2", "processor": "Test CPU", "threads": 2, "device": "cpu", "gpu": None}
GPU = {"id": "ff00", "processor": "Test CPU", "threads": 8, "device": "cuda", "gpu": "Test GPU"}
MIB = 2**20


def phase(
    name: str, seconds: float, *, gpu: int | None = None, host: int | None = 3 * MIB, cached: bool = False, **reading
):
    reserved = None if gpu is None else 2 * gpu
    found = Reading(
        seconds=seconds,
        peak_allocated_bytes=gpu,
        peak_reserved_bytes=reserved,
        peak_host_bytes=host,
        host_source="resident peak, reset per phase",
        **reading,
    )
    return Phase(name=name, reading=found, cached=cached)


def load(seconds: float, lost: float) -> MachineLoad:
    """What a machine did while something was measured that lost this share of its time."""
    return MachineLoad(seconds=seconds, waited_seconds=lost * seconds)


def accuracy(*values: float) -> tuple[Metric, ...]:
    return (Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values),) if values else ()


def make_result(method: str = "dm", ipc: int | None = 10, seed: int = 0, values=(0.5, 0.6), **fields) -> Result:
    ok = fields.get("status", "ok") == "ok"
    defaults = {
        "key": f"{method}-{ipc}-{seed}-{sorted(fields.items())}",
        "dataset": "digits",
        "dataset_fingerprint": "f1",
        "network": "convnet-d2",
        "students": len(values),
        "eval_seed": 0,
        "config": {},
        "protocol": "quick",
        "protocol_hash": "aaaa",
        "status": "ok",
        "metrics": accuracy(*values) if ok else (),
        "phases": (phase("distill", 2.0 + seed), phase("evaluate", 30.0)) if ok else (),
        "distilled_bytes": 1024 if ok else None,
        "space": "normalised" if ok else "",
        "label_mode": "hard" if ok else "",
        "machine": CPU,
        "started_at": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }
    return Result(method=method, ipc=ipc, distill_seed=seed, **{**defaults, **fields})


def pivot(results, **options) -> pd.DataFrame:
    return only_panel(results, **options).accuracy.set_index("method")


def only_panel(results, **options):
    (panel,) = make_table(results, **options).panels
    return panel


def notes_of(results, **options) -> str:
    return "\n".join(only_panel(results, **options).notes)


def cifar_result(method: str, ipc: int | None = 10, **fields) -> Result:
    return make_result(method, ipc, dataset="cifar10", network="convnet-d3", protocol="dsa", **fields)
