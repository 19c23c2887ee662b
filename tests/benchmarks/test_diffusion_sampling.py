"""Sampling from a small diffusion transformer: ten images at once against one at a time, 20 steps against 50.

Run: `uv run pytest tests/benchmarks/test_diffusion_sampling.py -m speed -s`. Time does not depend on the weights; how
good the sets of both samplers are is measured with trained ones (`baselines/README.md`).
"""

from __future__ import annotations

import pytest
import torch

from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from tests.benchmarks._pairs import alternate

SHAPE = DenoiserShape(28, 1, 10, patch_size=4, width=128, depth=6, heads=4)
LABELS, IDS = list(range(10)), torch.arange(10)
ROUNDS = 7
LEAST = 2.0


@pytest.fixture
def denoiser():
    made = make_denoiser(SHAPE)
    made.initialise(torch.Generator().manual_seed(0))
    return made.eval().requires_grad_(False)


@pytest.mark.speed
def test_a_batch_of_ten_is_twice_as_fast_as_one_at_a_time(denoiser, benchmark):
    plan = SamplingPlan(steps=10)
    batched, single = alternate(
        lambda: draw_images(denoiser, LABELS, 0, IDS, plan, 0),
        lambda: [draw_images(denoiser, [label], 0, IDS, plan, 0) for label in LABELS],
        ROUNDS,
    )
    ratio = single / batched
    print(f"\n10 images, 10 steps: {batched:.3f} s at once, {single:.3f} s one at a time: {ratio:.2f} (n={ROUNDS})")
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(draw_images, args=(denoiser, LABELS, 0, IDS, plan, 0), rounds=1)
    assert ratio >= LEAST


@pytest.mark.speed
def test_twenty_steps_are_twice_as_fast_as_fifty(denoiser, benchmark):
    fast, slow = SamplingPlan("dpm++", 20), SamplingPlan("ddpm", 50)
    ours, plain = alternate(
        lambda: draw_images(denoiser, LABELS, 0, IDS, fast, 0),
        lambda: draw_images(denoiser, LABELS, 0, IDS, slow, 0),
        ROUNDS,
    )
    ratio = plain / ours
    print(f"\n10 images: {ours:.3f} s in 20 steps of dpm++, {plain:.3f} s in 50 of ddpm: {ratio:.2f} (n={ROUNDS})")
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(draw_images, args=(denoiser, LABELS, 0, IDS, fast, 0), rounds=1)
    assert ratio >= LEAST
