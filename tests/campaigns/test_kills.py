"""Campaign: a suite with checkpoints is ended at random moments and at every point between writes; then it runs again.

Lost is a rerun whose numbers or sets are not those of an undisturbed run, a file that is half-written, a temporary file
or state that is still there after the rerun, and a run that does not end as its signal says.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from ddbench.distilled.files import load_distilled
from ddbench.errors import DDBenchError
from ddbench.records import Result
from tests.campaigns._forked import Call, Forks

pytestmark = pytest.mark.campaign

SUITE = """
name: s
protocol: quick
datasets: [digits]
methods:
  - random_real
  - {name: dm, settings: {steps: 4}}
  - name: mtt
    settings: {network: convnet-d1-w8, num_experts: 1, trajectory_epochs: 2, expert_epochs: 1, max_start_epoch: 1,
      steps: 2, syn_steps: 2}
ipc: [1]
networks: [convnet-d1-w8]
distill_seeds: [0]
students: 1
"""
SIGNALS = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15,), signal.SIGINT: (130,), signal.SIGHUP: (-1,)}


def call_of(folder: Path, **options) -> Call:
    """A run of the suite in a folder of its own, whose cache lies there too."""
    (folder / "suite.yaml").write_text(SUITE)
    environment = {"DDBENCH_CACHE_DIR": str(folder / "cache")}
    arguments = ["run", "suite.yaml", "--results", "results", "--device", "cpu"]
    return Call(
        arguments, str(folder), str(folder / "stdout"), str(folder / "stderr"), environment, keeps_every_state=True,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def forks():
    with Forks() as running:
        yield running


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """Folder, seconds and passed points of a run that nobody disturbs; what it compiled serves all others."""
    folder = tmp_path_factory.mktemp("whole")
    assert forks.run(call_of(folder)) == 0, (folder / "stderr").read_text()
    native = folder / "native"
    shutil.copytree(folder / "cache" / "native", native)
    for used in ("results", "cache"):
        shutil.rmtree(folder / used)
    shutil.copytree(native, folder / "cache" / "native")
    before = time.monotonic()
    assert forks.run(call_of(folder, dies_at="count")) == 0
    return folder, time.monotonic() - before, json.loads((folder / "points.json").read_text())


def numbers_of(results: Path) -> dict[str, tuple]:
    """What may not change, by cell: status, metrics that are no cost, and the set."""
    found = {}
    for path in sorted(results.glob("*/result.json")):
        result = Result.model_validate(json.loads(path.read_text()))
        if result.status != "ok":
            raise AssertionError(f"the end of the run was taken for a failure: {result.reason}")
        metrics = {metric.name: metric.values for metric in result.metrics if metric.name == "test_accuracy"}
        distilled = load_distilled(path.parent / "distilled")
        found[result.key] = (result.status, metrics, distilled.images, distilled.labels)
    return found


def differ(one: dict[str, tuple], other: dict[str, tuple]) -> bool:
    if one.keys() != other.keys():
        return True
    return any(
        one[key][:2] != other[key][:2]
        or not torch.equal(one[key][2], other[key][2])
        or not torch.equal(one[key][3], other[key][3])
        for key in one
    )


def left_over(folder: Path) -> list[str]:
    """What a run that ended well leaves no more."""
    found = [*folder.rglob(".tmp-*"), *folder.rglob(".rescued-*"), *folder.glob("cache/unfinished/*/*.safetensors")]
    return [str(path.relative_to(folder)) for path in found]


def disturb(forks: Forks, folder: Path, whole: tuple, number: int, point: str, moment: float) -> str:
    """End a run, run it again, and say what was lost; nothing where that is empty."""
    undisturbed, _, _ = whole
    shutil.copytree(undisturbed / "native", folder / "cache" / "native")
    call = call_of(folder, dies_at=point, dies_by=number)
    process = forks.start(call)
    if not point:
        time.sleep(moment)
        with suppress(ProcessLookupError):  # it was quicker
            os.kill(process, number)
    code = forks.end()
    if code not in (*SIGNALS[number], 0):
        return f"ended with {code}: {(folder / 'stderr').read_text()[-300:]}"
    try:
        numbers_of(folder / "results")
    except (AssertionError, DDBenchError) as error:
        return f"what it left is not whole: {error}"
    again = forks.run(call_of(folder))
    if again != 0:
        return f"the rerun ended with {again}: {(folder / 'stderr').read_text()[-500:]}"
    if differ(numbers_of(folder / "results"), numbers_of(undisturbed / "results")):
        return "the rerun has other numbers"
    left = left_over(folder)
    return f"left over: {left[0]}" if left else ""


def try_one(campaign, forks, folder, whole, number, point="", moment=0.0):
    folder.mkdir(parents=True)
    lost = disturb(forks, folder, whole, number, point, moment)
    if lost:
        campaign.count_bad("lost", f"{signal.Signals(number).name} at {point or f'{moment:.3f} s'}: {lost}")
        return
    campaign.count("nothing lost")
    shutil.rmtree(folder)


def test_ended_at_random_moments(campaign, forks, whole, tmp_path):
    seconds = whole[1]
    for index in range(campaign.number(4, 100)):
        number = list(SIGNALS)[index % len(SIGNALS)]
        moment = campaign.random.uniform(0, seconds)
        try_one(campaign, forks, tmp_path / str(index), whole, number, moment=moment)


def test_ended_at_every_point_between_writes(campaign, forks, whole, tmp_path):
    points = [
        f"{name}{sign}{count}" for name, most in whole[2].items() for count in range(1, most + 1) for sign in ":+"
    ]
    assert {point[:6] for point in points} >= {"rename", "replac"[:6], "fsync:"}
    chosen = campaign.random.sample(points, campaign.number(4, len(points)))
    for index, point in enumerate(chosen):
        number = signal.SIGKILL if index % 4 else signal.SIGTERM
        try_one(campaign, forks, tmp_path / str(index), whole, number, point)
