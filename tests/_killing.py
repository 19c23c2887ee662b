"""Processes killed in the middle of a loop by SIGKILL, and what a run that nobody interrupted leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open

from ddbench.dataset import make_real_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.files import CACHE_DIR_VARIABLE, find_cache_dir
from ddbench.method import Resumable, Tracker, untracked
from ddbench.runs.distill import RunOptions, distill

ROOT = Path(__file__).parents[1]
ITEM_SECONDS = 0.08
LOOP_VARIABLE = "DDBENCH_TESTS_KILLED_IN"  # of a process to be killed: the checkpoint of its loop and how many items


@dataclass(frozen=True)
class Loop:
    """A loop in which a process is killed: its checkpoint in the cache folder, and after how many items."""

    checkpoint: str
    items: int


def distil_toy(
    method: str, ipc: int, settings: Mapping[str, Any], images_per_class: int, track: Tracker = untracked
) -> DistilledDataset:
    """Distil 3 classes of random images, a checkpoint after every item, in the cache folder of the environment."""
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(256, (3 * images_per_class, 1, 8, 8), dtype=torch.uint8, generator=draws)
    split = images, torch.arange(3).repeat(images_per_class)
    real = make_real_dataset("toy", split, split, class_names=("a", "b", "c"), mean=(0.5,), std=(0.3,))
    options = RunOptions(device="cpu", checkpoint_seconds=0, track=track)
    with pytest.MonkeyPatch.context() as patch:
        # Unfinished work belongs to one commit, and somebody may commit while this runs.
        patch.setattr("ddbench.runs.distill.git_commit", lambda: "a commit")
        return distill(method, real, ipc, 0, settings, options=options)


def slowly(iterable: Iterable, description: str, state: Resumable | None = None) -> Iterator:
    """Wait before every item, and for good where the process is to be killed."""
    checkpoint, _, items = os.environ[LOOP_VARIABLE].rpartition(":")
    loop = Loop(checkpoint, int(items))
    for item in iterable:
        time.sleep(ITEM_SECONDS)
        if items_done(find_cache_dir(), loop) >= loop.items:
            time.sleep(3600)
        yield item


def items_done(cache: Path, loop: Loop) -> int:
    """How many items the checkpoint of a loop says are done, 0 where there is none yet."""
    for path in cache.glob(loop.checkpoint):
        try:
            with safe_open(path, framework="pt") as file:
                return int(file.metadata()["done"])
        except (SafetensorError, OSError):  # gone since it was listed
            continue
    return 0


def kill_in_loops(
    module: str, loops: Mapping[str, Loop], make_folder: Callable[[str], Path], give_up_seconds: float
) -> dict[str, tuple[Path, int]]:
    """Run a test module as a program once for each loop, kill it there, and return its cache folder and items done."""
    caches = {name: make_folder(name) for name in loops}
    processes = {}
    with ExitStack() as stack:
        for name, cache in caches.items():  # all at once: most of the time goes into importing torch
            environment = {**os.environ, CACHE_DIR_VARIABLE: str(cache), "OMP_NUM_THREADS": "1"}
            environment[LOOP_VARIABLE] = f"{loops[name].checkpoint}:{loops[name].items}"
            process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=environment, stderr=subprocess.PIPE
            )
            processes[name] = stack.enter_context(process)
            stack.callback(process.kill)
        _kill_when_due(processes, caches, loops, give_up_seconds)
    return {name: (cache, items_done(cache, loops[name])) for name, cache in caches.items()}


def run_whole(make_folder: Callable[[str], Path], run: Callable[[], DistilledDataset]) -> tuple[Path, DistilledDataset]:
    """Return the cache folder and the set of a distillation that nobody interrupted."""
    cache = make_folder("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_DIR_VARIABLE, str(cache))
        return cache, run()


def _kill_when_due(
    processes: Mapping[str, subprocess.Popen],
    caches: Mapping[str, Path],
    loops: Mapping[str, Loop],
    give_up_seconds: float,
) -> None:
    give_up, waiting = time.monotonic() + give_up_seconds, dict(processes)
    while waiting:
        assert time.monotonic() < give_up, f"no checkpoint in {give_up_seconds:g} seconds: {', '.join(waiting)}"
        for name, process in list(waiting.items()):
            assert process.poll() is None, process.stderr.read().decode()
            if items_done(caches[name], loops[name]) >= loops[name].items:
                process.kill()
                assert waiting.pop(name).wait() == -signal.SIGKILL
        time.sleep(0.005)
