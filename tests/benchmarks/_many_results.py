"""Results folders of any size, for the measurement of commands that read them: copies of a recorded result, renamed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any, Literal

from ddbench.host.files import digest_of
from ddbench.runs.results_store import RESULT_FILE, content_digest

Shape = Literal["wide", "sweep"]

RECORDED = Path(__file__).parents[2] / "baselines" / "results" / "xeon_2_cores" / "digits_gate.jsonl"
SEEDS = 5
IPCS = (1, 10, 50)
METHODS = ("random_real", *(f"method_{number:02}" for number in range(1, 33)))


def write_results(folder: Path, shape: Shape, count: int) -> Path:
    """Write `count` results, each into the folder of its cell, and return the folder.

    `wide` is 33 methods at three IPCs with five seeds, on as many data sets as that takes; `sweep` one method with five
    seeds, on one data set at one IPC, with as many settings as that takes.
    """
    recorded = json.loads(RECORDED.read_text(encoding="utf-8").splitlines()[0])
    for content in islice(_each(shape, recorded), count):
        content["key"] = digest_of(
            {name: content[name] for name in ("method", "dataset", "ipc", "config", "eval_seed")}
        )
        cell = folder / content["key"]
        cell.mkdir(parents=True)
        (cell / RESULT_FILE).write_text(json.dumps({**content, "digest": content_digest(content)}), encoding="utf-8")
    return folder


def _each(shape: Shape, recorded: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield renamed copies of a result, their accuracies spread about a mean of their entry, without an end."""
    draw = random.Random(0)
    for group in range(10**6):
        places = product(METHODS, IPCS) if shape == "wide" else [("method_01", 10)]
        for method, ipc in places:
            mean = draw.uniform(0.3, 0.9)
            for seed in range(SEEDS):
                accuracy = {**recorded["metrics"][0], "values": [mean + draw.gauss(0, 0.01)]}
                yield {
                    **recorded,
                    "method": method,
                    "dataset": f"data_{group:03}" if shape == "wide" else "data",
                    "ipc": ipc,
                    "distill_seed": seed,
                    "eval_seed": seed,
                    "config": {**recorded["config"], **({"steps": group + 1} if shape == "sweep" else {})},
                    "metrics": [accuracy, *recorded["metrics"][1:]],
                }
