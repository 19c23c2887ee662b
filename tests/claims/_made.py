"""Results and claims files made by hand: numbers whose verdict is known."""

from __future__ import annotations

from pathlib import Path

from ddbench.records import Metric, Phase, Reading, Result

HASH = "f58e2342656b"
DEFAULTS = f"""
[defaults]
dataset = "digits"
network = "convnet-d2-w32"
protocol = "quick@{HASH}"
"""


def accuracy(*percents: float, unit: str = "fraction") -> tuple[Metric, ...]:
    values = tuple(percent / 100 for percent in percents)
    return (Metric(name="test_accuracy", unit=unit, higher_is_better=True, values=values),)


def make_result(seed: int = 0, percent: float = 90.0, *, seconds: float = 2.0, mib: float = 800.0, **changes) -> Result:
    """A finished result; `seconds` and `mib` are those of its distill phase."""
    reading = Reading(seconds=seconds, processor_seconds=seconds, peak_host_bytes=round(mib * 2**20))
    fields = {
        "method": "dm",
        "dataset": "digits",
        "dataset_fingerprint": "data",
        "ipc": 10,
        "network": "convnet-d2-w32",
        "students": 1,
        "distill_seed": seed,
        "eval_seed": 0,
        "config": {"steps": 20},
        "protocol": "quick",
        "protocol_hash": HASH,
        "status": "ok",
        "metrics": accuracy(percent),
        "phases": (Phase(name="distill", reading=reading),),
        "machine": {"id": "here"},
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    fields |= changes
    return Result(key="-".join(str(fields[k]) for k in ("method", "ipc", "distill_seed", "config")), **fields)


def make_results(percents: list[float], **changes) -> list[Result]:
    return [make_result(seed, percent, **changes) for seed, percent in enumerate(percents)]


def make_costs(seconds: list[float], **changes) -> list[Result]:
    return [make_result(seed, seconds=value, **changes) for seed, value in enumerate(seconds)]


def write_claims(folder: Path, *claims: str, head: str = 'family = "test"\n', defaults: str = DEFAULTS) -> Path:
    """Write a claims file; each claim is the body of a [[claim]] table, its id and sentence added where missing."""
    tables = []
    for number, claim in enumerate(claims):
        named = "" if "id =" in claim else f'id = "c{number}"\nsentence = "A claim."\n'
        tables.append(f"[[claim]]\n{named}{claim}\n")
    path = folder / "claims.toml"
    path.write_text(head + defaults + "\n".join(tables), encoding="utf-8")
    return path
