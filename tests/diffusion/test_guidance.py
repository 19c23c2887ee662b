"""Tests of guided steps against a plain float64 sampler and against what the scheduler adds."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.diffusion.guidance import GuidedStep, step_deviation
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.errors import BadInputError
from ddbench.seeding import make_generator
from tests.diffusion.test_sampling import IDS, PLAN, assert_near, make, naive_output, naive_signal, naive_timesteps

learned_or_not = pytest.mark.parametrize("learns_variance", [False, True], ids=["fixed small", "learned range"])


def pull(step: GuidedStep) -> Tensor | None:
    """A guide that takes part in two of six steps, and depends on all that it is told."""
    if step.steps_left not in (4, 1):
        return None
    place = torch.tensor([3 * label + index for label, index in zip(step.labels, step.indices, strict=True)])
    return 0.3 * step.deviation * (0.1 * place.view(-1, 1, 1, 1) - step.clean) + 0.01 * step.steps_left


@torch.no_grad()
def naive_guided(denoiser, label: int, index: int, plan: SamplingPlan, seed: int) -> Tensor:
    """The same in float64 for one image, by DDPM's equations with the betas of the steps taken."""
    generator = make_generator(seed, "image", label, index)
    noisy = torch.randn(4, 8, 8, generator=generator).double()
    steps = naive_timesteps(plan.steps)
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        signal, before = naive_signal(step), 1.0 if last else naive_signal(steps[place + 1])
        beta = 1 - signal / before
        output = naive_output(denoiser, noisy, step, int(IDS[label]), plan.guidance)
        clean = (noisy - math.sqrt(1 - signal) * output[:4]) / math.sqrt(signal)
        clean = clean.clamp(-1, 1) if plan.clips else clean
        noisy = (math.sqrt(before) * beta * clean + math.sqrt(1 - beta) * (1 - before) * noisy) / (1 - signal)
        if not last:
            share = (output[4:] + 1) / 2 if len(output) > 4 else torch.zeros(())
            deviation = (beta**share * (beta * (1 - before) / (1 - signal)) ** (1 - share)) ** 0.5
            noisy = noisy + deviation * torch.randn(4, 8, 8, generator=generator)
            if len(steps) - 1 - place in (4, 1):
                noisy = noisy + 0.3 * deviation * (0.1 * (3 * label + index) - clean) + 0.01 * (len(steps) - 1 - place)
    return noisy


@learned_or_not
@pytest.mark.parametrize("clips", [True, False], ids=["clipped", "unclipped"])
def test_guided_sampling_equals_a_plain_loop(learns_variance, clips):
    denoiser = make(learns_variance=learns_variance)
    plan = replace(PLAN, clips=clips)
    found = draw_images(denoiser, [1, 2, 0], [4, 0, 1], IDS, plan, 7, guide=pull)
    exact = copy.deepcopy(denoiser).double()
    places = ((1, 4), (2, 0), (0, 1))
    assert_near(found, torch.stack([naive_guided(exact, label, index, plan, 7) for label, index in places]))
    assert not torch.allclose(found, draw_images(denoiser, [1, 2, 0], [4, 0, 1], IDS, plan, 7), atol=0.01)


@learned_or_not
def test_a_guide_is_told_of_every_step(learns_variance):
    steps: list[GuidedStep] = []
    draw_images(make(learns_variance=learns_variance), [1, 2], 3, IDS, PLAN, 7, guide=steps.append)
    assert [step.steps_left for step in steps] == [5, 4, 3, 2, 1, 0]
    for step in steps:
        assert (list(step.labels), list(step.indices)) == ([1, 2], [3, 3])
        assert step.clean.shape == step.deviation.shape == (2, 4, 8, 8)
        assert step.clean.abs().max() <= 1
    assert [bool((step.deviation > 0).all()) for step in steps] == [True] * 5 + [False]
    assert not steps[-1].deviation.any()


@pytest.mark.parametrize("guide", [lambda step: None, lambda step: 0 * step.clean], ids=["nothing", "zeros"])
def test_a_guide_that_adds_nothing_changes_no_bit(guide):
    denoiser = make()
    plain = draw_images(denoiser, [1, 2], 3, IDS, PLAN, 7)
    assert torch.equal(draw_images(denoiser, [1, 2], 3, IDS, PLAN, 7, guide=guide), plain)


def test_a_guided_image_does_not_depend_on_the_others_of_its_batch():
    denoiser = make()
    together = draw_images(denoiser, [2, 0, 1], 1, IDS, PLAN, 5, guide=pull)
    for place, label in enumerate((2, 0, 1)):
        alone = draw_images(denoiser, [label], 1, IDS, PLAN, 5, guide=pull)
        assert_near(together[place : place + 1], alone.double())


def test_a_sampler_whose_steps_add_no_noise_takes_no_guide():
    with pytest.raises(BadInputError, match=r"guided steps are those of sampler=ddpm, got sampler=dpm\+\+"):
        draw_images(make(), [0], 0, IDS, replace(PLAN, sampler="dpm++"), 0, guide=pull)


@pytest.mark.parametrize(("timestep", "following"), [(999, 979), (510, 489), (20, 0), (1, 0)])
def test_deviations_are_those_of_improved_ddpm(timestep, following):
    signal, before = naive_signal(timestep), naive_signal(following)
    beta = 1 - signal / before
    smallest = beta * (1 - before) / (1 - signal)
    assert step_deviation(timestep, following, None).item() == pytest.approx(math.sqrt(smallest), rel=1e-9)
    found = step_deviation(timestep, following, torch.tensor([-1.0, 0.0, 1.0]))
    assert found.tolist() == pytest.approx([smallest**0.5, (smallest * beta) ** 0.25, beta**0.5], rel=1e-9)
    assert step_deviation(timestep, None, None).item() == 0
