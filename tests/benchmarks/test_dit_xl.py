"""DiT-XL/2 with random weights at 256 px on a GPU: fine-tuning steps and images per second, and peak memory.

Run: `uv run pytest tests/benchmarks/test_dit_xl.py -m "speed and gpu" -s`. From both rates follows what the paper's
100-IPC run of ten classes would take: 12,000 steps and 1,000 images, without decoding. The same code runs on a tiny
transformer without a GPU, so that it is known to work.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddbench.diffusion.denoiser import DIT_XL_2, DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.meter import Meter

TINY = DenoiserShape(8, 4, 10, patch_size=2, width=32, depth=2, heads=2, learns_variance=True)
PLAN = TuningPlan(
    steps=12_000,
    batch_size=8,
    lr=1e-3,
    ema_decay=0.9999,
    trainable="difffit",
    flips=True,
    precision="bf16",
    representativeness_weight=0.002,
    diversity_weight=0.008,
)
WARM_UPS = 3


class RandomLatents:
    """Latents of 1,300 images of each of ten classes, of the size that 256 px have."""

    def __init__(self, shape: DenoiserShape) -> None:
        self.labels = torch.arange(10).repeat_interleave(1300)
        self._latents = torch.randn(64, shape.channels, shape.image_size, shape.image_size)

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        return self._latents[indices % len(self._latents)]


def measure(shape: DenoiserShape, device: torch.device, steps: int) -> dict[str, float]:
    """Return steps and images per second, GiB allocated at most, and the hours of the paper's run."""
    with torch.device(device):
        denoiser = make_denoiser(shape)
    training = FineTuning(denoiser, RandomLatents(shape), torch.arange(10), PLAN, seed=0)
    for step in range(WARM_UPS):
        training.run(step)
    with Meter(device) as tuning:
        for step in range(steps):
            training.run(WARM_UPS + step)
    peak = tuning.reading.peak_allocated_bytes or 0
    plan, labels = SamplingPlan(steps=50), list(range(10))
    denoiser.eval().requires_grad_(False)
    with Meter(device) as sampling:
        draw_images(denoiser, labels, 0, torch.arange(10), plan, seed=0)
    steps_rate, image_rate = steps / tuning.reading.seconds, len(labels) / sampling.reading.seconds
    hours = (12_000 / steps_rate + 1_000 / image_rate) / 3600
    return {"steps_per_second": steps_rate, "images_per_second": image_rate, "peak_gib": peak / 2**30, "hours": hours}


@pytest.mark.speed
def test_the_measurement_works_on_a_tiny_transformer():
    found = measure(TINY, torch.device("cpu"), steps=2)
    assert found["hours"] > 0


@pytest.mark.speed
@pytest.mark.gpu
def test_the_papers_run_on_this_gpu(benchmark):
    found = measure(DIT_XL_2, torch.device("cuda"), steps=50)
    print("\n" + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    benchmark.extra_info.update(found)
    benchmark.pedantic(measure, args=(TINY, torch.device("cuda"), 2), rounds=1)
