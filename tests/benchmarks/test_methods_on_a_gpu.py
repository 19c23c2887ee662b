"""A full DM run and an MTT meta-step on a GPU, with the shares of its measured fp32, TF32 and bf16 rates.

Run: `uv run pytest tests/benchmarks/test_methods_on_a_gpu.py -m speed -s`. CIFAR-10 shapes, convnet-d3, IPC 10, random
images. DM's 20,000 iterations are projected from 500. Written without a GPU at hand; on any machine the same code runs
once with tiny sizes. Operations are those that torch counts, of products and convolutions alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ddbench.dataset import make_real_dataset
from ddbench.method import RunContext, make_method
from ddbench.methods._meta_gradient import ENGINES
from tests.benchmarks._gpu_rates import ARITHMETICS, Arithmetic, arithmetic, measured_rate, waited
from tests.benchmarks._mtt_problem import make_problem
from tests.benchmarks._pairs import first_seconds

CLASSES, IPC, STEPS, ALL_STEPS, ROUNDS = 10, 10, 500, 20_000, 5
MOST_SECONDS = 3600  # of the whole DM run: minutes, not hours


def dm_run(device: torch.device, steps: int, network: str = "convnet-d3", batch: int = 256) -> Callable[[], None]:
    """Return a function that runs so many iterations of DM on random images."""
    pixels = torch.randint(0, 256, (CLASSES * batch, 3, 32, 32), dtype=torch.uint8)
    split = (pixels, torch.arange(CLASSES).repeat(batch))
    names = tuple(map(str, range(CLASSES)))
    train = make_real_dataset("toy", split, split, class_names=names, mean=(0.5,) * 3, std=(0.25,) * 3).train
    method = make_method("dm", {"steps": steps, "network": network, "real_batch_size": batch})

    def run() -> None:
        ctx = RunContext(device, torch.Generator().manual_seed(0), Path())
        method.distill(train, IPC, ctx)

    return waited(run, device)


def mtt_step(device: torch.device, steps: int) -> Callable[[], None]:
    """Return a function that takes one MTT meta-step of so many inner steps, by the adjoint engine."""
    network, images, lr, segment, batches = make_problem(steps)
    segment = replace(segment, start=segment.start.to(device), target=segment.target.to(device))
    batches = [replace(b, indices=b.indices.to(device), labels=b.labels.to(device)) for b in batches]
    images, lr = images.to(device), lr.to(device)
    return waited(lambda: ENGINES["adjoint"](network, images, lr, segment, batches), device)


def operations_of(run: Callable[[], None]) -> float:
    """Return the floating-point operations that torch counts in a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def shares(operations: float, seconds: float, device: torch.device) -> dict[str, float]:
    """Return the shares of the measured rates of every precision."""
    return {name: operations / seconds / measured_rate(name, device) for name in ARITHMETICS}


def describe(found: dict[str, float]) -> str:
    """Return shares in words."""
    return ", ".join(f"{100 * share:.1f} % of the {name} rate" for name, share in found.items())


@pytest.mark.gpu
@pytest.mark.speed
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_a_full_dm_run_takes_minutes(benchmark, precision: Arithmetic):
    device = torch.device("cuda")
    with arithmetic(precision):
        dm_run(device, 10)()
        seconds = first_seconds(dm_run(device, STEPS))
        operations = operations_of(dm_run(device, 10)) / 10 * STEPS
    whole, found = seconds * ALL_STEPS / STEPS, shares(operations, seconds, device)
    print(
        f"\nDM, IPC {IPC}, {precision}: {STEPS} iterations {seconds:.1f} s, {ALL_STEPS} projected {whole:.0f} s; ",
        end="",
    )
    print(f"{describe(found)} ({torch.cuda.get_device_name()})")
    benchmark.extra_info.update(seconds=seconds, projected_seconds=whole, shares=found)
    benchmark.pedantic(dm_run(device, 10), rounds=1)
    assert whole < MOST_SECONDS


@pytest.mark.gpu
@pytest.mark.speed
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_an_mtt_meta_step(benchmark, precision: Arithmetic):
    device = torch.device("cuda")
    step = mtt_step(device, 10)
    with arithmetic(precision):
        step()
        seconds = min(first_seconds(step) for _ in range(ROUNDS))
        operations = operations_of(step)
    found = shares(operations, seconds, device)
    print(f"\nMTT meta-step of 10 steps, IPC {IPC}, {precision}: best of {ROUNDS} {seconds:.3f} s; {describe(found)}")
    benchmark.extra_info.update(seconds=seconds, shares=found)
    benchmark.pedantic(step, rounds=1)
    assert 0 < found[precision] <= 1  # faster than a matrix product would be a miscount


@pytest.mark.speed
def test_both_rows_run_on_a_cpu():
    device = torch.device("cpu")
    assert operations_of(dm_run(device, 1, "convnet-d3-w4", 12)) > 0
    step = mtt_step(device, 1)
    assert operations_of(step) > 0
    assert first_seconds(step) > 0
    assert measured_rate("fp32", device, side=64) > 0
