"""Diffusion methods from outside: killed in each of their loops, and taken up again to the same set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from ddbench.dataset import make_real_dataset
from ddbench.distilling import RunOptions, distill
from ddbench.files import CACHE_DIR_VARIABLE
from ddbench.method import Resumable, Tracker, untracked
from ddbench.records import DistilledDataset

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")

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
ITEM_SECONDS = 0.08
CHECKPOINTS = {  # of the loops in which a process is killed, after how many of their items, and of how many
    "backbone": ("prepared/backbone-*/unfinished/training-the-backbone.safetensors", 5, 20),
    "fine-tuning": ("prepared/fine_tuned-*/unfinished/fine-tuning-phase-2-of-2.safetensors", 5, 20),
    "sampling": ("unfinished/*/sampling-phase-2.safetensors", 4, 16),
}


def distil_toy(track: Tracker = untracked) -> DistilledDataset:
    """Distil 3 classes of 20 random images, a checkpoint after every item, in the cache folder of the environment."""
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(256, (60, 1, 8, 8), dtype=torch.uint8, generator=draws)
    split = images, torch.arange(3).repeat(20)
    real = make_real_dataset("toy", split, split, class_names=("a", "b", "c"), mean=(0.5,), std=(0.3,))
    options = RunOptions(device="cpu", checkpoint_seconds=0, track=track)
    with pytest.MonkeyPatch.context() as patch:
        # Unfinished work belongs to one commit, and somebody may commit while this runs.
        patch.setattr("ddbench.distilling.git_commit", lambda: "a commit")
        return distill("minimax", real, IPC, 0, SETTINGS, options=options)


def slowly(iterable: Iterable, description: str, state: Resumable | None = None) -> Iterator:
    """Wait before every item, so that there is time to kill the process inside a loop."""
    for item in iterable:
        time.sleep(ITEM_SECONDS)
        yield item


def items_done(cache: Path, name: str) -> int:
    """How many items the checkpoint of a loop says are done, 0 where there is none yet."""
    for path in cache.glob(CHECKPOINTS[name][0]):
        try:
            with safe_open(path, framework="pt") as file:
                return int(file.metadata()["done"])
        except (SafetensorError, OSError):  # gone since it was listed
            continue
    return 0


def kill_when_due(processes: dict[str, subprocess.Popen], caches: dict[str, Path]) -> None:
    """Kill each process when so many items of its loop are done as `CHECKPOINTS` says."""
    give_up, waiting = time.monotonic() + 600, dict(processes)
    while waiting:
        assert time.monotonic() < give_up, f"no checkpoint in ten minutes: {', '.join(waiting)}"
        for name, process in list(waiting.items()):
            assert process.poll() is None, process.stderr.read().decode()
            if items_done(caches[name], name) >= CHECKPOINTS[name][1]:
                process.kill()
                assert waiting.pop(name).wait() == -signal.SIGKILL
        time.sleep(0.005)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> dict[str, tuple[Path, int]]:
    """Cache folders of processes killed in each of the loops, and how many items of it were done."""
    caches = {name: tmp_path_factory.mktemp(name) for name in CHECKPOINTS}
    processes = {}
    with ExitStack() as stack:
        for name, cache in caches.items():  # all at once: most of the time goes into importing torch
            environment = {**os.environ, CACHE_DIR_VARIABLE: str(cache), "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen([sys.executable, __file__], env=environment, stderr=subprocess.PIPE)
            processes[name] = stack.enter_context(process)
            stack.callback(process.kill)
        kill_when_due(processes, caches)
    return {name: (cache, items_done(cache, name)) for name, cache in caches.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, DistilledDataset]:
    """The cache folder and the set of a distillation that nobody interrupted."""
    cache = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_DIR_VARIABLE, str(cache))
        return cache, distil_toy()


def phases(distilled: DistilledDataset) -> dict[str, dict]:
    return {phase["name"]: phase["reading"] for phase in distilled.provenance["phases"]}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_killed_run_ends_with_the_same_set(name, killed, whole, monkeypatch):
    cache, done = killed[name]
    _, least, total = CHECKPOINTS[name]
    assert least <= done < total
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("prepared/*/**/*.safetensors")}
    finished = {path: at for path, at in kept.items() if "unfinished" not in path.parts}
    assert len(finished) == {"backbone": 0, "fine-tuning": 2, "sampling": 3}[name]  # the backbone's, and phases
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(cache))
    found, (whole_cache, expected) = distil_toy(), whole
    assert torch.equal(found.images, expected.images)
    assert all(path.stat().st_mtime_ns == at for path, at in finished.items())
    for path in whole_cache.glob("prepared/*/**/*.safetensors"):
        resumed = load_file(cache / path.relative_to(whole_cache))
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in load_file(path).items())
    interrupted = "distill" if name == "sampling" else "prepare"
    readings = phases(found)
    assert {key: reading["interruptions"] for key, reading in readings.items()} == {
        key: int(key == interrupted) for key in ("first_use", "prepare", "distill")
    }
    assert readings[interrupted]["seconds"] > ITEM_SECONDS * done  # the killed process waited at every item
    assert not list(cache.glob("prepared/*/unfinished"))
    assert list((cache / "unfinished").iterdir()) == []


if __name__ == "__main__":  # a process to be killed
    torch.set_num_threads(1)
    distil_toy(slowly)
