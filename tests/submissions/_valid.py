"""A file that passes, and copies of it in which one thing is wrong, with digests that fit."""

from __future__ import annotations

import json
from pathlib import Path

from ddbench.host.files import baselines_dir
from ddbench.records import Result
from ddbench.runs.results_store import content_digest, each_line

SOURCE = baselines_dir() / "results" / "epyc_2_cores" / "digits_selection.jsonl"


def valid(count: int = 2) -> list[dict]:
    """The first recorded results of coresets on digits, as JSON has them."""
    return [json.loads(line) for line in SOURCE.read_text(encoding="utf-8").splitlines()[:count]]


def changed(content: dict, **fields) -> dict:
    """The same result with other fields and the digest that belongs to them."""
    made = {**content, **fields}
    return {**made, "digest": content_digest(made)}


def with_metric(content: dict, name: str, values, **fields) -> dict:
    """The same result with other values of a metric."""
    metrics = [{**m, "values": list(values), **fields} if m["name"] == name else m for m in content["metrics"]]
    return changed(content, metrics=metrics)


def write(path: Path, contents) -> Path:
    """Write contents as a file of results."""
    path.write_text("".join(json.dumps(content) + "\n" for content in contents), encoding="utf-8")
    return path


def read(path: Path) -> list[Result]:
    """The results of a file that holds nothing else."""
    found = [result for _, result in each_line(path)]
    assert all(isinstance(result, Result) for result in found)
    return found
