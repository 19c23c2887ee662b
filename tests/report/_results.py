"""Results for tests of the report: one that was recorded, and copies of it with other fields."""

from __future__ import annotations

from functools import cache

from ddbench.host.files import baselines_dir
from ddbench.records import Metric, Result
from ddbench.tables.table import Panel, make_table


@cache
def recorded() -> Result:
    """random_real on digits at IPC 10, seed 0, as `baselines/results` has it."""
    path = baselines_dir() / "results" / "epyc_2_cores" / "digits_minimax.jsonl"
    with path.open(encoding="utf-8") as lines:
        return Result.model_validate_json(next(lines))


def varied(method: str = "dm", ipc: int | None = 10, seed: int = 0, values=(0.5, 0.6), **fields) -> Result:
    """The recorded result as another entry's, with these accuracies of students; `others` adds metrics by name."""
    others = fields.pop("others", {})
    metrics = {"test_accuracy": values, **others}
    made = tuple(
        Metric(name=name, unit="fraction", higher_is_better=True, values=tuple(found))
        for name, found in metrics.items()
        if found
    )
    key = fields.pop("key", f"{method}-{ipc}-{seed}-{fields.get('network', '')}-{fields.get('dataset', '')}")
    update = {"key": key, "method": method, "ipc": ipc, "distill_seed": seed, "metrics": made, **fields}
    return recorded().model_copy(update=update)


def only_panel(results, **options) -> Panel:
    (panel,) = make_table(results, **options).panels
    return panel
