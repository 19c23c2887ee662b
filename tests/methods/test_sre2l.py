"""Tests of SRe2L: a whole run against the paper's loop in float64, its schedules and recipes, a state that goes on."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.method import RunContext, make_method
from ddbench.methods._teacher.class_recovery import Recipe, augment, least_area
from ddbench.methods._teacher.foundation import load_teacher
from ddbench.methods._teacher.recovery import BETAS, Recovery, cosine_rate
from ddbench.runs.distill import distill
from ddbench.runs.preparation import make_foundations

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
def test_a_set_has_bytes_of_every_class(changes):
    real = load_dataset("digits")
    settings = {**SMOKE, **changes}
    made = distill("sre2l", real, 2, config=settings)
    assert made.space == "pixels"
    assert made.images.dtype == torch.uint8
    assert made.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert not torch.equal(made.images[0], made.images[1])
    first = distill("sre2l", real, 1, config=settings)
    assert torch.equal(first.images, made.images[::2])


def test_a_teacher_without_batch_norm_is_unsupported():
    train = load_dataset("digits").train
    assert "has no batch norm of maps" in make_method("sre2l", {"teacher_network": "convnet-d1-w8"}).unsupported(
        train, 1
    )
    assert make_method("sre2l", {"teacher_network": "convnet-d1-w8-bn"}).unsupported(train, 500) is None


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (32, Recipe(1000, 0.25, 0.01, 4, "none")),
        (64, Recipe(4000, 0.1, 1.0, 4, "constant")),
        (224, Recipe(4000, 0.25, 0.01, 32, "constant")),
    ],
)
def test_recipes_are_the_authors_by_size_and_settings_take_their_place(side, expected):
    info = replace(load_dataset("digits").info, image_size=side)
    assert make_method("sre2l").recipe(info) == expected
    changed = make_method("sre2l", {"steps": 7, "roll": 0, "crop_schedule": "curriculum"}).recipe(info)
    assert changed == replace(expected, steps=7, roll=0, crop_schedule="curriculum")


def test_crops_and_rolls_are_the_same_for_all_images():
    info = load_dataset("digits").info
    images = torch.rand(1, 1, 8, 8).expand(3, 1, 8, 8)
    for seed in range(5):
        seen = augment(images, info, Recipe(10, 0.1, 1.0, 4, "constant"), 0, torch.Generator().manual_seed(seed))
        assert torch.equal(seen[0], seen[1])
        assert torch.equal(seen[0], seen[2])
    still = augment(images, info, Recipe(10, 0.1, 1.0, 0, "none"), 0, torch.Generator())
    assert torch.equal(still, images)
    rolled = augment(images, info, Recipe(10, 0.1, 1.0, 4, "none"), 0, torch.Generator().manual_seed(1))
    shifts = torch.randint(5, (2,), generator=torch.Generator().manual_seed(1)).tolist()
    assert torch.equal(rolled, images.roll(shifts, (2, 3)))


def naive_recovery(network, count: int, steps: int, generator: torch.Generator, bounds) -> Tensor:
    """The paper's loop in float64 without crops and rolls: cross-entropy and two layers' gaps, the first times 10."""
    images = torch.randn(count, 1, 8, 8, generator=generator).double().requires_grad_()
    optimiser = torch.optim.Adam([images], betas=(0.5, 0.9))
    layers, seen = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)], []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for step in range(steps):
        torch.randint(1, (2,), generator=generator)
        seen.clear()
        loss = torch.nn.functional.cross_entropy(network(images), torch.arange(count))
        for factor, layer, inputs in zip((10.0, 1.0), layers, seen, strict=True):
            mean = inputs.mean((0, 2, 3))
            variance = (inputs - mean.view(1, -1, 1, 1)).square().mean((0, 2, 3))
            for found, wanted in ((variance, layer.running_var), (mean, layer.running_mean)):
                loss = loss + 0.5 * factor * (found - wanted).square().sum().sqrt()
        optimiser.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        images.data.clamp_(*bounds)
    return images.detach()


@pytest.mark.usefixtures("own_cache")
def test_a_whole_run_is_the_papers_loop(tmp_path):
    real = load_dataset("digits")
    settings = {"teacher_network": "convnet-d2-w8-bn", "teacher_epochs": 2, "steps": 12}
    method = make_method("sre2l", {**settings, "lr": 0.1, "statistics_weight": 0.5, "roll": 0})
    (folder,), _ = make_foundations(method, real.train, RunContext(CPU, torch.Generator(), tmp_path))
    ctx = RunContext(CPU, torch.Generator().manual_seed(8), tmp_path, foundation=folder)
    made = method.distill(real.train, 1, ctx)
    teacher = load_teacher(method.config, real.train, ctx).double()
    mean, std = real.info.mean[0], real.info.std[0]
    bounds = -mean / std, (1 - mean) / std
    exact = naive_recovery(teacher, 10, 12, torch.Generator().manual_seed(8), bounds)
    pixels = (exact * std + mean) * 255
    assert (made.images.double() - pixels).abs().max() <= 0.51  # half a shade of rounding
