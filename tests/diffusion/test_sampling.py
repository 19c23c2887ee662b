"""Tests of sampling against plain float64 samplers, diffusers' schedulers and distributions known in closed form."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor, nn

from ddbench.diffusion.denoiser import Denoiser, DenoiserShape
from ddbench.diffusion.noising import NoiseSchedule
from ddbench.diffusion.sampling import SamplingPlan, draw_images, sampling_batches, split_evenly
from ddbench.seeding import make_generator
from tests.diffusion._small_models import random_denoiser

SHAPE = DenoiserShape(8, 4, 3, patch_size=4, width=16, depth=2, heads=2)
IDS = torch.tensor([2, 0, 1])  # of labels 0, 1, 2
PLAN = SamplingPlan(steps=6, guidance=2.5, clips=True)
learned_or_not = pytest.mark.parametrize("learns_variance", [False, True], ids=["fixed small", "learned range"])


def make(*, learns_variance: bool = False) -> Denoiser:
    """A denoiser with random weights, its output of about unit size: larger ones soon leave all that a float holds."""
    denoiser = random_denoiser(replace(SHAPE, learns_variance=learns_variance))
    for parameter in denoiser.transformer.proj_out_2.parameters():
        parameter.data.mul_(0.2)
    return denoiser


def naive_signal(step: int) -> float:
    """alpha-bar after so many steps counted from 0."""
    return math.prod(1 - (1e-4 + (0.02 - 1e-4) * s / 999) for s in range(step + 1))


def naive_timesteps(steps: int) -> list[int]:
    return [round(999 * place / (steps - 1)) for place in range(steps)][::-1]


def naive_output(denoiser: Denoiser, noisy: Tensor, step: int, class_id: int, guidance: float) -> Tensor:
    """The output for one image, guided in its first three channels."""
    when = torch.tensor([step])
    of_class, of_none = (denoiser(noisy[None], when, torch.tensor([c]))[0] for c in (class_id, 3))
    guided = of_none[:3] + guidance * (of_class[:3] - of_none[:3])
    return torch.cat([guided, of_class[3:]])


@torch.no_grad()
def naive_sampler(
    denoiser: Denoiser, label: int, index: int, plan: SamplingPlan, seed: int, start: Tensor | None = None
) -> Tensor:
    """Ancestral sampling of one image in float64: DDPM's equations with the betas of the steps taken."""
    generator = make_generator(seed, "image", label, index)
    noisy = torch.randn(4, 8, 8, generator=generator).double()
    steps = naive_timesteps(plan.steps)
    if start is not None:
        steps = steps[plan.steps - int(plan.steps * plan.strength) :]
        signal = naive_signal(steps[0])
        noisy = math.sqrt(signal) * start.double() + math.sqrt(1 - signal) * noisy
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        signal, before = naive_signal(step), 1.0 if following is None else naive_signal(following)
        beta = 1 - signal / before
        output = naive_output(denoiser, noisy, step, int(IDS[label]), plan.guidance)
        clean = (noisy - math.sqrt(1 - signal) * output[:4]) / math.sqrt(signal)
        if plan.clips:
            clean = clean.clamp(-1, 1)
        noisy = (math.sqrt(before) * beta * clean + math.sqrt(1 - beta) * (1 - before) * noisy) / (1 - signal)
        if following is not None:
            smallest, share = beta * (1 - before) / (1 - signal), 0.0
            if len(output) > 4:
                share = (output[4:] + 1) / 2
            variance = beta**share * smallest ** (1 - share)
            noisy = noisy + variance**0.5 * torch.randn(4, 8, 8, generator=generator)
    return noisy


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert (found.double() - expected).norm() < tolerance * expected.norm()


@learned_or_not
@pytest.mark.parametrize("clips", [True, False], ids=["clipped", "unclipped"])
@pytest.mark.parametrize(("steps", "guidance"), [(6, 2.5), (2, 1.0), (11, 1.0)])
def test_ancestral_sampling_equals_a_plain_loop(learns_variance, clips, steps, guidance):
    denoiser = make(learns_variance=learns_variance)
    plan = SamplingPlan(steps=steps, guidance=guidance, clips=clips)
    found = draw_images(denoiser, [1, 2, 0], 4, IDS, plan, seed=7)
    exact = copy.deepcopy(denoiser).double()
    expected = torch.stack([naive_sampler(exact, label, 4, plan, 7) for label in (1, 2, 0)])
    assert found.dtype == torch.float32
    assert_near(found, expected)


@pytest.mark.parametrize("strength", [0.5, 0.7, 1.0])
def test_images_from_starts_equal_a_plain_loop_over_the_last_steps(strength):
    denoiser = make()
    plan = SamplingPlan(steps=10, guidance=2.5, strength=strength)
    starts = {label: torch.rand(4, 8, 8, generator=make_generator(label)) for label in (1, 2)}
    found = draw_images(denoiser, [1, 2], 4, IDS, plan, seed=7, starts=starts)
    exact = copy.deepcopy(denoiser).double()
    expected = torch.stack([naive_sampler(exact, label, 4, plan, 7, starts[label]) for label in (1, 2)])
    assert_near(found, expected)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_little_strength_leaves_a_start_nearly_as_it_is(sampler):
    start = torch.rand(4, 8, 8, generator=make_generator(5)) * 2 - 1
    watched = Watched(make())
    plan = SamplingPlan(sampler, 50, 1.0, strength=0.04)
    found = draw_images(watched, [1], 0, IDS, plan, seed=7, starts={1: start})[0]
    assert len(watched.calls) == 2
    from_noise = draw_images(watched, [1], 0, IDS, plan, seed=7)[0]
    assert (found - start).abs().mean() < 0.2 < (from_noise - start).abs().mean()


def test_images_of_several_indices_are_those_drawn_one_index_at_a_time():
    denoiser = make(learns_variance=False)
    found = draw_images(denoiser, [1, 2, 1], (4, 0, 5), IDS, PLAN, seed=7)
    for place, (label, index) in enumerate(((1, 4), (2, 0), (1, 5))):
        assert_near(found[place : place + 1], draw_images(denoiser, [label], index, IDS, PLAN, seed=7).double())


class Watched(nn.Module):
    """A denoiser that keeps what it is called with."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.inner, self.shape, self.null_class = denoiser, denoiser.shape, denoiser.null_class
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        self.calls.append((noisy, timesteps, labels))
        return self.inner(noisy, timesteps, labels)


def test_fifty_steps_are_those_of_the_reference():
    watched = Watched(make())
    draw_images(watched, [0], 0, IDS, replace(PLAN, steps=50), seed=0)
    found = [int(timesteps[0]) for _, timesteps, _ in watched.calls]
    assert found == naive_timesteps(50)
    assert (found[0], found[-1], len(found)) == (999, 0, 50)
    peer = DDPMScheduler(1000, beta_schedule="linear", timestep_spacing="linspace")
    peer.set_timesteps(50)
    assert found == peer.timesteps.tolist()


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_guidance_calls_class_and_null_class_on_the_same_image(sampler):
    watched = Watched(make())
    draw_images(watched, [1, 2], 0, IDS, replace(PLAN, sampler=sampler), seed=0)
    assert len(watched.calls) == PLAN.steps
    for noisy, timesteps, labels in watched.calls:
        assert torch.equal(noisy[:2], noisy[2:])
        assert len(timesteps.unique()) == 1
        assert labels.tolist() == [0, 1, 3, 3]


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_without_guidance_the_null_class_is_never_asked(sampler):
    watched = Watched(make())
    plan = replace(PLAN, sampler=sampler, guidance=1)
    found = draw_images(watched, [1, 2], 0, IDS, plan, seed=0)
    assert {tuple(labels.tolist()) for _, _, labels in watched.calls} == {(0, 1)}
    nearly = draw_images(watched.inner, [1, 2], 0, IDS, replace(plan, guidance=1 + 1e-6), seed=0)
    assert_near(found, nearly.double())
    assert not torch.allclose(found, draw_images(watched.inner, [1, 2], 0, IDS, replace(plan, guidance=2), seed=0))


class ByClass(nn.Module):
    """Says the class id everywhere, so that a single step shows the guided output."""

    def __init__(self, *, learns_variance: bool) -> None:
        super().__init__()
        self.shape, self.null_class = replace(SHAPE, channels=5, learns_variance=learns_variance), 3
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        channels = 10 if self.shape.learns_variance else 5
        return labels.view(-1, 1, 1, 1).float().expand(-1, channels, 8, 8)


@learned_or_not
def test_guidance_acts_on_the_first_three_channels_only(learns_variance, monkeypatch):
    seen = []
    step = DDPMScheduler.step

    def watch(self, output: Tensor, *args: object, **options: object) -> object:
        seen.append(output)
        return step(self, output, *args, **options)

    monkeypatch.setattr(DDPMScheduler, "step", watch)
    denoiser = ByClass(learns_variance=learns_variance)
    draw_images(denoiser, [0, 1], 0, IDS, replace(PLAN, guidance=4.0), seed=0)
    channels = 10 if learns_variance else 5
    for output in seen:
        assert output.shape == (2, channels, 8, 8)
        assert output[0, :3].unique().tolist() == [3 + 4.0 * (2 - 3)]  # label 0 is class id 2
        assert output[1, :3].unique().tolist() == [3 + 4.0 * (0 - 3)]
        assert output[0, 3:].unique().tolist() == [2]
        assert output[1, 3:].unique().tolist() == [0]


# Called here, diffusers' scheduler hands NumPy a tensor in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@learned_or_not
@torch.no_grad()
def test_dpm_solver_equals_diffusers_scheduler_called_directly(learns_variance):
    denoiser = make(learns_variance=learns_variance)
    plan = SamplingPlan("dpm++", steps=9, guidance=2.5)
    found = draw_images(denoiser, [1, 2], 3, IDS, plan, seed=7)
    for place, label in enumerate((1, 2)):
        noisy = torch.randn(1, 4, 8, 8, generator=make_generator(7, "image", label, 3))
        peer = DPMSolverMultistepScheduler(1000, 1e-4, 0.02, "linear", solver_order=2, algorithm_type="dpmsolver++")
        peer.set_timesteps(9)
        for timestep in peer.timesteps:
            output = naive_output(denoiser, noisy[0], int(timestep), int(IDS[label]), 2.5)[None, :4]
            noisy = peer.step(output, timestep, noisy).prev_sample
        assert_near(found[place], noisy[0].double())


class KnownGaussian(nn.Module):
    """The exact denoiser of pixels that are independent, of one mean and deviation."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.shape, self.null_class = replace(SHAPE, channels=3), 3
        self.weight = nn.Parameter(torch.zeros(()))
        self._mean, self._variance = mean, deviation**2

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        signal = NoiseSchedule.linear().signal[timesteps].view(-1, 1, 1, 1)
        total = signal * self._variance + 1 - signal
        score = -(noisy - signal.sqrt() * self._mean) / total
        return (-(1 - signal).sqrt() * score).float()


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_an_exact_denoiser_of_one_image_leads_to_it(sampler):
    found = draw_images(KnownGaussian(0.3, 0.0), [0, 1], 0, IDS, SamplingPlan(sampler, 10, 1.0), seed=0)
    torch.testing.assert_close(found, torch.full((2, 3, 8, 8), 0.3), rtol=0, atol=1e-4)


def test_dpm_solver_follows_the_flow_of_a_known_distribution():
    mean, deviation, signal = -0.2, 0.5, naive_signal(999)
    found = draw_images(KnownGaussian(mean, deviation), [0, 2], 5, IDS, SamplingPlan("dpm++", 40, 1.0), seed=1)
    start = torch.stack([torch.randn(3, 8, 8, generator=make_generator(1, "image", label, 5)) for label in (0, 2)])
    scale = deviation / math.sqrt(signal * deviation**2 + 1 - signal)
    torch.testing.assert_close(found, mean + scale * (start - math.sqrt(signal) * mean), rtol=0, atol=0.02)


def test_ancestral_sampling_gives_the_distribution_that_its_steps_lead_to():
    goal, variance = 0.4, 0.25
    mean, spread = 0.0, 1.0  # of a pixel, whose every step is linear
    steps = naive_timesteps(50)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        signal, before = naive_signal(step), 1.0 if following is None else naive_signal(following)
        beta, total = 1 - signal / before, signal * variance + 1 - signal
        of_clean = math.sqrt(before) * beta / (1 - signal)
        slope = of_clean * math.sqrt(signal) * variance / total + math.sqrt(1 - beta) * (1 - before) / (1 - signal)
        mean = slope * mean + of_clean * goal * (1 - signal) / total
        spread = slope**2 * spread + beta * (1 - before) / (1 - signal)
    denoiser, plan = KnownGaussian(goal, math.sqrt(variance)), SamplingPlan("ddpm", 50, 1.0)
    found = torch.cat([draw_images(denoiser, [0, 1, 2], index, IDS, plan, seed=3) for index in range(4)])
    assert found.mean().item() == pytest.approx(mean, abs=0.04)  # 2,304 pixels: 4 standard errors
    assert found.std().item() == pytest.approx(math.sqrt(spread), abs=0.03)
    assert (mean, math.sqrt(spread)) == pytest.approx((0.4, 0.5), abs=0.08)  # small variances are a little small


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_an_image_depends_on_its_seed_class_and_index(sampler):
    denoiser, plan = make(), replace(PLAN, sampler=sampler)
    first, again = (draw_images(denoiser, [0, 1], 0, IDS, plan, seed=5) for _ in range(2))
    assert torch.equal(first, again)
    others = [
        draw_images(denoiser, [0, 1], 0, IDS, plan, seed=6),
        draw_images(denoiser, [0, 1], 1, IDS, plan, seed=5),
        draw_images(denoiser, [1, 0], 0, IDS, plan, seed=5),
    ]
    for other in others:
        assert not torch.allclose(other[0], first[0], atol=0.1)
        assert not torch.allclose(other[1], first[1], atol=0.1)


@learned_or_not
@pytest.mark.parametrize("sampler", ["ddpm", "dpm++"])
def test_an_image_does_not_depend_on_the_others_of_its_batch(sampler, learns_variance):
    denoiser, plan = make(learns_variance=learns_variance), replace(PLAN, sampler=sampler)
    together = draw_images(denoiser, [2, 0, 1], 1, IDS, plan, seed=5)
    for place, label in enumerate((2, 0, 1)):
        (alone,) = draw_images(denoiser, [label], 1, IDS, plan, seed=5)
        assert_near(together[place], alone.double())


def test_drawing_leaves_the_global_generator_and_the_denoiser_alone():
    denoiser = make()
    before, weights = torch.get_rng_state(), copy.deepcopy(denoiser.state_dict())
    found = draw_images(denoiser, [0], 0, IDS, PLAN, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.requires_grad
    assert all(torch.equal(tensor, weights[name]) for name, tensor in denoiser.state_dict().items())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 32])
def test_batches_of_a_smaller_set_are_the_first_of_a_larger_one(size):
    classes = [3, 4, 5, 6, 7, 8, 9]
    small, large = (list(sampling_batches(classes, ipc, size)) for ipc in (2, 3))
    assert large[: len(small)] == small
    drawn = sorted((label, index) for index, labels in large for label in labels)
    assert drawn == [(label, index) for label in classes for index in range(3)]
    assert max(len(labels) for _, labels in large) <= size


@pytest.mark.parametrize(("count", "largest"), [(1, 1), (10, 3), (10, 10), (10, 99), (11, 5), (7, 1)])
def test_runs_are_of_nearly_equal_length(count, largest):
    runs = split_evenly(range(count), largest)
    assert [item for run in runs for item in run] == list(range(count))
    sizes = [len(run) for run in runs]
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(runs) == math.ceil(count / largest)
