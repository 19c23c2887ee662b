"""Diffusion methods from outside: killed in each of their loops, and resumed to the same set."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.method import Tracker, untracked
from tests._killing import ITEM_SECONDS, Loop, distil_toy, kill_in_loops, run_whole, slowly

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows"),
]

# Two phases, and criteria strong enough that lost memories would show.
SETTINGS = {
    "backbone": "scratch",
    "vae": "none",
    "scratch_width": 16,
    "scratch_depth": 2,
    "scratch_heads": 2,
    "scratch_steps": 20,
    "scratch_batch_size": 8,
    "steps": 20,
    "batch_size": 8,
    "lr": 0.02,
    "ema_decay": 0.5,
    "classes_per_phase": 2,
    "representativeness_weight": 1.0,
    "diversity_weight": 1.0,
    "memory_size": 4,
    "sampling_steps": 3,
    "sampling_batch_size": 1,
}
IPC = 8
LOOPS = {
    "backbone": Loop("foundations/backbone-*/.unfinished/training-the-backbone.safetensors", items=5),
    "fine-tuning": Loop("prepared/fine_tuned-*/.unfinished/fine-tuning-phase-2-of-2.safetensors", items=5),
    "sampling": Loop("unfinished/*/sampling-phase-2.safetensors", items=4),
}
TOTALS = {"backbone": 20, "fine-tuning": 20, "sampling": 16}  # items of the loops


def distil_images(track: Tracker = untracked) -> DistilledDataset:
    return distil_toy("minimax", IPC, SETTINGS, images_per_class=20, track=track)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> dict[str, tuple[Path, int]]:
    """Cache folders of processes killed in each of the loops, and how many items of it were done."""
    return kill_in_loops("tests.diffusion.test_method_killed", LOOPS, tmp_path_factory.mktemp, give_up_seconds=600)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, DistilledDataset]:
    """The cache folder and the set of a distillation that nobody interrupted."""
    return run_whole(tmp_path_factory.mktemp, distil_images)


def phases(distilled: DistilledDataset) -> dict[str, dict]:
    return {phase["name"]: phase["reading"] for phase in distilled.provenance["phases"]}


@pytest.mark.parametrize("name", LOOPS)
def test_a_killed_run_ends_with_the_same_set(name, killed, whole, monkeypatch):
    cache, done = killed[name]
    assert LOOPS[name].items <= done < TOTALS[name]
    own = (path for path in cache.glob("*/*-*/**/*.safetensors") if "extractors" not in path.parts)  # the judge's
    kept = {path: path.stat().st_mtime_ns for path in own}
    finished = {path: at for path, at in kept.items() if ".unfinished" not in path.parts}
    assert len(finished) == {"backbone": 1, "fine-tuning": 3, "sampling": 4}[name]  # the split, backbone, phases
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(cache))
    found, (whole_cache, expected) = distil_images(), whole
    assert torch.equal(found.images, expected.images)
    assert all(path.stat().st_mtime_ns == at for path, at in finished.items())
    for path in whole_cache.glob("*/*-*/**/*.safetensors"):
        resumed = load_file(cache / path.relative_to(whole_cache))
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in load_file(path).items())
    interrupted = "distill" if name == "sampling" else "prepare"
    readings = phases(found)
    assert {key: reading["interruptions"] for key, reading in readings.items()} == {
        key: int(key == interrupted) for key in ("first_use", "prepare", "distill")
    }
    assert readings[interrupted]["seconds"] > ITEM_SECONDS * done  # the killed process waited at every item
    assert not list(cache.glob("*/*/.unfinished"))
    assert list((cache / "unfinished").iterdir()) == []


if __name__ == "__main__":  # a process to be killed
    torch.set_num_threads(1)
    distil_images(slowly)
