"""Tests of SRe2L: its loss and steps against a plain loop in float64, its schedules, and a run that was killed."""

from __future__ import annotations

import math

import pytest
import torch

from ddbench.augment.pixels import as_pixels
from ddbench.dataset import load_dataset
from ddbench.method import make_method
from ddbench.methods.sre2l import BETAS, Recovery, SRe2L, cosine_rate, least_area
from ddbench.runs.distill import distill

SMOKE = {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 3, "steps": 40}
CPU = torch.device("cpu")


def test_the_rate_falls_along_half_a_cosine():
    assert [cosine_rate(0.25, step, 4) for step in range(5)] == pytest.approx(
        [0.25, 0.125 * (1 + math.sqrt(0.5)), 0.125, 0.125 * (1 - math.sqrt(0.5)), 0], abs=1e-12
    )


def test_the_curriculum_goes_from_whole_images_to_small_crops():
    assert [least_area("curriculum", step, 2) for step in range(3)] == pytest.approx([1, 0.54, 0.08])
    assert least_area("constant", 0, 2) == 0.08


def test_steps_are_adams_and_images_stay_in_the_range_of_pixels():
    """Adam as its paper has it, number by number, and then clamped."""
    state = Recovery((2, 1, 2, 2), torch.Generator().manual_seed(4), CPU)
    state.begin(2)
    state.now.data.mul_(0.3)
    target = torch.linspace(-1, 1, 8).view(2, 1, 2, 2)
    images = state.now.detach().double().flatten().tolist()
    first, second = [0.0] * 8, [0.0] * 8
    bounds = torch.tensor(-0.4), torch.tensor(0.4)
    for step in range(5):
        lr = cosine_rate(0.2, step, 5)
        state.step((state.now - target).square().sum(), lr, bounds)
        for i, wanted in enumerate(target.flatten().tolist()):
            gradient = 2 * (images[i] - wanted)
            first[i] = BETAS[0] * first[i] + (1 - BETAS[0]) * gradient
            second[i] = BETAS[1] * second[i] + (1 - BETAS[1]) * gradient**2
            unbiased = first[i] / (1 - BETAS[0] ** (step + 1)), second[i] / (1 - BETAS[1] ** (step + 1))
            images[i] = min(0.4, max(-0.4, images[i] - lr * unbiased[0] / (math.sqrt(unbiased[1]) + 1e-8)))
    assert state.now.detach().flatten().tolist() == pytest.approx(images, abs=1e-5)


def test_a_state_that_was_kept_goes_on_with_the_same_numbers():
    def advance(state: Recovery, steps: int) -> None:
        for _ in range(steps):
            noise = torch.randn(2, 1, 2, 2, generator=state.generator)
            state.step((state.now * noise).sin().sum(), 0.1, (torch.tensor(-3.0), torch.tensor(3.0)))

    state = Recovery((4, 1, 2, 2), torch.Generator().manual_seed(4), CPU)
    state.begin(2)
    advance(state, 3)
    kept = {name: tensor.clone() for name, tensor in state.save_state().items()}
    advance(state, 3)
    other = Recovery((4, 1, 2, 2), torch.Generator(), CPU)
    other.load_state(kept)
    advance(other, 3)
    assert torch.equal(state.now, other.now)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("changes", [{}, {"crop_schedule": "curriculum"}])
def test_a_set_has_images_of_every_class_within_the_range_of_pixels(changes):
    real = load_dataset("digits")
    settings = {**SMOKE, **changes}
    made = distill("sre2l", real, 2, config=settings)
    assert made.space == "normalised"
    assert made.labels.tolist() == [label for label in range(10) for _ in range(2)]
    pixels = as_pixels(made, real.info)
    assert -1e-5 <= float(pixels.min()) <= float(pixels.max()) <= 1 + 1e-5
    assert not torch.equal(made.images[0], made.images[1])
    first = distill("sre2l", real, 1, config=settings)
    assert torch.equal(first.images, made.images[::2])


def test_a_teacher_without_batch_norm_is_unsupported():
    train = load_dataset("digits").train
    assert "has no batch norm" in make_method("sre2l", {"teacher_network": "convnet-d1-w8"}).unsupported(train, 1)
    assert make_method("sre2l", {"teacher_network": "convnet-d1-w8-bn"}).unsupported(train, 500) is None


def test_crops_and_rolls_are_the_same_for_all_images_and_by_size():
    info = load_dataset("digits").info
    images = torch.rand(1, 1, 8, 8).expand(3, 1, 8, 8)
    method = SRe2L(SRe2L.Config(crop_schedule="constant"))
    for _ in range(5):
        seen = method._augment(images, info, 0, 10, torch.Generator().manual_seed(1))
        assert torch.equal(seen[0], seen[1])
        assert torch.equal(seen[0], seen[2])
    rolled = SRe2L(SRe2L.Config(roll=0))._augment(images, info, 0, 10, torch.Generator())
    assert torch.equal(rolled, images)
