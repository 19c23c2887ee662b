"""A thousand classes from end to end: memory stays that of a few images, and a second process lists nothing anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddbench.datasets.imagenet1k import all_classes
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.runs.results_store import Store
from tests._imagenet_like import write_imagenet_like

ROOT = Path(__file__).parents[2]
MOST_BYTES = 3 * 2**30
SUITE = """
name: thousand
protocol: cut
datasets: ["imagenet1k,source=like,size=64"]
ipc: [1]
students: 1
distill_seeds: 1
methods:
  - random_real
  - {name: herding, settings: {feature_network: convnet-d2-w8, feature_epochs: 1}}
  - {name: rded, settings: {teacher_network: convnet-d2-w8-bn, teacher_epochs: 1, candidates: 10, crops: 2}}
"""


def run(folder: Path) -> dict:
    """Run the suite in a process of its own; returns what it says of itself."""
    command = [sys.executable, "-m", "tests.runs._thousand_classes", "run", folder / "suite.yaml"]
    command += ["--results", folder / "results", "--data-dir", folder / "data"]
    env = {**os.environ, CACHE_DIR_VARIABLE: str(folder / "cache")}
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long  # a thousand classes of pictures are written and learned: minutes on two cores
def test_a_thousand_classes_from_end_to_end(tmp_path, record_property):
    wnids = [wnid for wnid, _ in all_classes()]
    write_imagenet_like(tmp_path / "data" / "like", wnids, train=50, val=10)
    (tmp_path / "suite.yaml").write_text(SUITE)
    time.sleep(2.5)  # what changed a moment ago is not kept
    first, second = run(tmp_path), run(tmp_path)
    for name, took in (("first", first), ("second", second)):
        for key, value in took.items():
            record_property(f"{name} {key}", value)
    results = Store(tmp_path / "results").results()
    assert sorted(result.method for result in results) == ["herding", "random_real", "rded"]
    assert {result.status for result in results} == {"ok"}
    assert {result.distilled_bytes for result in results} == {1000 * (3 * 64 * 64 + 8)}
    for result in results:
        record_property(f"{result.method} accuracy", result.metric("test_accuracy").mean)
        for phase in result.phases:
            record_property(f"{result.method} {phase.name} seconds", phase.reading.seconds)
    accuracy = next(result for result in results if result.method == "random_real").metric("test_accuracy").mean
    assert accuracy > 0.003  # chance is 0.001, with a standard error of 0.0003
    assert max(first["peak_bytes"], second["peak_bytes"]) < MOST_BYTES
    assert (first["searches"], second["searches"]) == (2, 0)
    assert second["listing_seconds"] < first["listing_seconds"]
