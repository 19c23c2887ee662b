"""One MTT meta-step (IPC 10, 10 steps, CIFAR-10 shapes): the adjoint gradient against a plain unrolled loop.

Run: `uv run pytest tests/benchmarks/test_mtt_meta_step.py -m speed -s`.
"""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS
from ddbench.network import InputShape, make_network
from tests.benchmarks._mtt_problem import CLASSES, make_problem
from tests.benchmarks._pairs import alternate
from tests.benchmarks._plain import mtt_gradients

STEPS, ROUNDS = 10, 3
BAR = 1.8


@pytest.mark.speed
def test_a_meta_step_is_faster_than_the_plain_unrolled_loop(benchmark):
    network, images, lr, segment, batches = make_problem(STEPS)
    student = make_network("convnet-d3", InputShape(3, 32, CLASSES), torch.Generator().manual_seed(0))

    def ours() -> tuple[Tensor, Tensor]:
        found = META_GRADIENTS["adjoint"](network, images, lr, segment, batches)
        return found.images, found.lr

    def plain() -> tuple[Tensor, Tensor]:
        return mtt_gradients(student, images, lr, segment, batches)

    start = time.perf_counter()
    our_images, our_lr = ours()
    first_seconds = time.perf_counter() - start
    plain_images, plain_lr = plain()
    assert (our_images - plain_images).norm() < 1e-2 * plain_images.norm()
    assert (our_lr - plain_lr).abs() < 1e-2 * plain_lr.abs()

    our_seconds, plain_seconds = alternate(ours, plain, ROUNDS)
    ratio = plain_seconds / our_seconds
    benchmark.extra_info.update(plain_seconds=plain_seconds, our_seconds=our_seconds, ratio=ratio)
    print(
        f"\nMTT meta-step, adjoint, {network.mode}: ours {our_seconds:.2f} s, plain {plain_seconds:.2f} s, "
        f"ratio {ratio:.2f} (n={ROUNDS}); first call {first_seconds:.1f} s"
    )
    benchmark.pedantic(ours, rounds=1)
    assert network.mode == "native"
    assert ratio >= BAR
