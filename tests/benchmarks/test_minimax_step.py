"""A fine-tuning step with both minimax criteria against one without: batch 8, memory 64, 10 classes.

Run: `uv run pytest tests/benchmarks/test_minimax_step.py -m speed -s`. A small transformer at Fashion-MNIST's shapes on
the digits enlarged to 28 px, so that no data is needed; both memories are full before the first timed step.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ddbench.dataset import load_dataset
from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan
from ddbench.diffusion.inputs import PixelInputs
from tests.benchmarks._pairs import alternate

SHAPE = DenoiserShape(28, 1, 10, patch_size=4, width=128, depth=6, heads=4)
PLAN = TuningPlan(10_000, batch_size=8, lr=1e-4, ema_decay=0.99, trainable="full", flips=False)
ROUNDS, STEPS = 15, 5
MOST = 1.10


def make_training(plan):
    digits = load_dataset("digits")
    pixels = F.interpolate(digits.train.images.float(), size=28, mode="bilinear").round().to(torch.uint8)
    denoiser = make_denoiser(SHAPE)
    denoiser.initialise(torch.Generator().manual_seed(0))
    images = replace(digits.train, images=pixels)
    return FineTuning(denoiser, PixelInputs(images, range(10), PixelCodec()), torch.arange(10), plan, 0)


@pytest.mark.speed
def test_the_criteria_add_at_most_a_tenth(benchmark):
    plain = make_training(PLAN)
    ours = make_training(replace(PLAN, representativeness_weight=0.002, diversity_weight=0.008))
    for memory in (ours.real, ours.generated):
        memory.add(torch.randn(640, 28 * 28), torch.arange(10).repeat(64))
    steps = iter(range(100_000))

    def run(training):
        for _ in range(STEPS):
            training.run(next(steps))

    with_terms, without = alternate(lambda: run(ours), lambda: run(plain), ROUNDS)
    ratio = with_terms / without
    print(f"\n{with_terms / STEPS * 1e3:.1f} ms with, {without / STEPS * 1e3:.1f} ms without: {ratio:.3f} (n={ROUNDS})")
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(run, args=(ours,), rounds=1)
    assert ratio <= MOST
