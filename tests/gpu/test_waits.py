"""No loop waits for a GPU where it need not: what the host waits for is counted, iteration by iteration.

On a CPU the same loops run without being watched, so that they are known to work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddbench import load_dataset
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.diffusion.backbone import NO_VAE, load_codec
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan
from ddbench.diffusion.inputs import PixelInputs
from ddbench.method import RunContext, make_method
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.seeding import make_generator
from ddbench.students.batched import train_students
from ddbench.students.loop import TrainingPlan, TrainingSet

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SETTINGS = {
    "dm": {"network": "convnet-d2-w8", "steps": 6, "real_batch_size": 16},
    "dc": {"network": "convnet-d2-w8", "steps": 6, "real_batch_size": 16, "outer_loops": 2, "inner_epochs": 2},
    "dsa": {"network": "convnet-d2-w8", "steps": 6, "real_batch_size": 16, "outer_loops": 2, "inner_epochs": 2},
    "mtt": {
        "network": "convnet-d2-w8",
        "zca": False,
        "num_experts": 1,
        "trajectory_epochs": 3,
        "trajectory_batch_size": 512,
        "expert_epochs": 1,
        "steps": 6,
        "syn_steps": 3,
    },
}
# A step that is not sound ends MTT: what tells comes in one transfer.
ALLOWED = {"dm": 0, "dc": 0, "dsa": 0, "mtt": 1}


class Watch:
    """Counts the waits of each iteration of a loop, and hands its items on as a tracker."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        self.waits: list[int] = []

    def __call__(self, iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        self.waits = []
        for item in iterable:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._set("warn")
                try:
                    yield item
                finally:
                    self._set("default")
            self.waits.append(sum("synchronizing CUDA operation" in str(warning.message) for warning in caught))

    def _set(self, mode: str) -> None:
        if self._on_gpu:
            torch.cuda.set_sync_debug_mode(mode)


def context(device: str, folder: Path, track: Callable[..., Any]) -> RunContext:
    return RunContext(torch.device(device), make_generator(0, "test"), folder, track=track)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SETTINGS)
def test_an_iteration_of_a_method_waits_for_nothing_but_what_decides_whether_to_go_on(name, device, tmp_path):
    train, watch = load_dataset("digits").train, Watch(device)
    method, ctx = make_method(name, SETTINGS[name]), context(device, tmp_path, watch)
    if name == "mtt":
        ctx = replace(ctx, prepared=method.prepare(train, ctx))
    method.distill(train, 2, ctx)
    assert len(watch.waits) == 6
    # The first iteration also loads kernels, and logs its loss.
    assert max(watch.waits[1:]) <= ALLOWED[name]


@pytest.mark.parametrize("device", DEVICES)
def test_training_an_expert_waits_at_the_end_of_an_epoch_alone(device, tmp_path):
    train, watch = load_dataset("digits").train, Watch(device)
    make_method("mtt", SETTINGS["mtt"]).prepare(train, context(device, tmp_path, watch))
    batches = -(-len(train) // 512)
    assert len(watch.waits) == 3 * batches
    inside = [waits for step, waits in enumerate(watch.waits) if step and (step + 1) % batches]
    assert max(inside) == 0


@pytest.mark.parametrize("device", DEVICES)
def test_students_trained_at_once_wait_for_nothing(device):
    train, watch = load_dataset("digits").train, Watch(device)
    few = torch.arange(20)
    data = TrainingSet(train.pixels(few).to(device), train.labels[few].to(device), train.info)
    plan = TrainingPlan(Schedule(epochs=6, drop_at=3), 0.01, 20, DSA_STRATEGY)
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    networks = [make_network("convnet-d2-w8", InputShape.of(train.info), g).to(device) for g in generators]
    train_students(networks, data, plan, generators, watch, static=True)
    assert len(watch.waits) == 6
    assert max(watch.waits[1:]) == 0  # in the first the step is captured


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_of_fine_tuning_waits_for_nothing(device):
    train, watch = load_dataset("digits").train, Watch(device)
    shape = DenoiserShape(8, 1, 10, patch_size=4, width=16, depth=2, heads=2)
    plan = TuningPlan(6, 8, 1e-3, 0.9, "full", False, representativeness_weight=0.002, diversity_weight=0.008)
    denoiser = make_denoiser(shape).to(device)
    inputs = PixelInputs(train, list(range(10)), load_codec(NO_VAE))
    training = FineTuning(denoiser, inputs, torch.arange(10), plan, seed=0)
    for step in watch(range(6), "fine-tuning"):
        training.run(step)
    assert len(watch.waits) == 6
    assert max(watch.waits[1:]) == 0
