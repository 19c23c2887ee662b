"""Tests of the forward process and the losses against diffusers' scheduler and loops over pixels in float64."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ddbench.diffusion.noising import NoiseSchedule, diffusion_loss, split_output, variational_bound

TIMESTEPS = [0, 1, 2, 17, 250, 998, 999]
SHAPE = (len(TIMESTEPS), 2, 3, 3)


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule.linear()


@pytest.fixture
def peer() -> DDPMScheduler:
    """The same schedule in diffusers."""
    return DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=False)


@pytest.fixture
def timesteps() -> Tensor:
    return torch.tensor(TIMESTEPS)


def draw(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def naive_betas() -> list[float]:
    return [1e-4 + (0.02 - 1e-4) * step / 999 for step in range(1000)]


def naive_signal(step: int) -> float:
    """alpha-bar after so many steps counted from 0, 1 before the first."""
    return math.prod(1 - beta for beta in naive_betas()[: step + 1])


def test_the_schedule_is_the_linear_one(schedule, peer):
    torch.testing.assert_close(schedule.betas, torch.tensor(naive_betas(), dtype=torch.float64), rtol=1e-12, atol=0)
    for step in TIMESTEPS:
        assert schedule.signal[step].item() == pytest.approx(naive_signal(step), rel=1e-12)
    torch.testing.assert_close(schedule.signal.float(), peer.alphas_cumprod, rtol=1e-4, atol=0)


def test_noise_is_added_as_by_diffusers(schedule, peer, timesteps):
    clean, noise = draw(1), draw(2)
    found = schedule.add_noise(clean, noise, timesteps)
    torch.testing.assert_close(found, peer.add_noise(clean, noise, timesteps), rtol=1e-4, atol=1e-4)
    for place, step in enumerate(TIMESTEPS):
        signal = naive_signal(step)
        torch.testing.assert_close(found[place], signal**0.5 * clean[place] + (1 - signal) ** 0.5 * noise[place])


def test_the_clean_input_and_the_posterior_mean_are_those_of_a_step_of_diffusers(schedule, peer, timesteps):
    noisy, predicted = draw(3), draw(4)
    clean = schedule.predict_clean(noisy, predicted, timesteps)
    mean = schedule.posterior_mean(clean, noisy, timesteps)
    for place, step in enumerate(TIMESTEPS):
        one, noise = noisy[place : place + 1], torch.Generator().manual_seed(9)
        found = peer.step(predicted[place : place + 1], step, one, generator=noise)
        scale = clean[place].abs().max().item()
        torch.testing.assert_close(clean[place], found.pred_original_sample[0], rtol=1e-3, atol=1e-3 * scale)
        z = torch.randn(one.shape, generator=torch.Generator().manual_seed(9), dtype=one.dtype)
        drawn = peer._get_variance(step).sqrt() * z if step else 0
        torch.testing.assert_close(mean[place], (found.prev_sample - drawn)[0], rtol=1e-3, atol=1e-3)


def test_the_added_noise_leads_back_to_the_clean_input(schedule, timesteps):
    clean, noise = draw(1), draw(2)
    noisy = schedule.add_noise(clean, noise, timesteps)
    torch.testing.assert_close(schedule.predict_clean(noisy, noise, timesteps), clean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", ["add_noise", "predict_clean", "posterior_mean"])
def test_float32_images_meet_coefficients_that_are_not_rounded_before(function, schedule, timesteps):
    first, second = draw(1, torch.float32), draw(2, torch.float32)
    found = getattr(schedule, function)(first, second, timesteps)
    expected = getattr(schedule, function)(first.double(), second.double(), timesteps)
    assert found.dtype == torch.float32
    error = (found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert error.max() < 1e-6


def test_variances_lie_between_the_posteriors_and_beta(schedule, timesteps):
    low, high = schedule.log_variances(timesteps)
    for place, step in enumerate(TIMESTEPS):
        after = max(step, 1)  # at 0 the posterior has no variance, and that at 1 takes its place
        before, signal, beta = naive_signal(after - 1), naive_signal(after), naive_betas()[after]
        assert low[place].item() == pytest.approx(math.log(beta * (1 - before) / (1 - signal)), rel=1e-9)
        assert high[place].item() == pytest.approx(math.log(naive_betas()[step]), rel=1e-9)
    assert (low[1:] < high[1:]).all()
    assert low.dtype == high.dtype == torch.float64


def approximate_cumulative(x: float) -> float:
    return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def exact_cumulative(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def naive_bound(
    predicted: float, interpolation: float, clean: float, noisy: float, step: int, cumulative=approximate_cumulative
) -> float:
    """One pixel's term, in bits."""
    beta, signal, before = naive_betas()[step], naive_signal(step), naive_signal(step - 1) if step else 1.0
    smallest = (naive_betas()[1] * (1 - naive_signal(0)) / (1 - naive_signal(1))) if step == 0 else 0.0
    smallest = smallest or beta * (1 - before) / (1 - signal)
    share = (interpolation + 1) / 2
    deviation = math.exp(0.5 * (share * math.log(beta) + (1 - share) * math.log(smallest)))

    def mean(guess: float) -> float:
        return (before**0.5 * beta * guess + (1 - beta) ** 0.5 * (1 - before) * noisy) / (1 - signal)

    found = mean((noisy - (1 - signal) ** 0.5 * predicted) / signal**0.5)
    if step:
        true, model = (
            Normal(torch.tensor(centre, dtype=torch.float64), torch.tensor(width, dtype=torch.float64))
            for centre, width in ((mean(clean), smallest**0.5), (found, deviation))
        )
        return kl_divergence(true, model).item() / math.log(2)
    upper = cumulative((clean - found + 1 / 255) / deviation) if clean < 0.999 else 1.0
    lower = cumulative((clean - found - 1 / 255) / deviation) if clean > -0.999 else 0.0
    return -math.log2(max(upper - lower, 1e-12))


def bound_inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Predicted noise, interpolation (outside [-1, 1], too), clean 8-bit values with both ends, and x_t."""
    timesteps = torch.tensor(TIMESTEPS)
    clean = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 255).round()
    clean[:, 0, 0, 0], clean[:, 0, 0, 1], clean[:, 1, 2, 2] = 0, 255, 127
    clean = clean / 127.5 - 1
    noise = draw(6)
    return noise + 0.3 * draw(7), draw(8), clean, NoiseSchedule.linear().add_noise(clean, noise, timesteps)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_bound_equals_a_loop_over_pixels(dtype, schedule, timesteps):
    inputs = bound_inputs()
    found = variational_bound(*(value.to(dtype) for value in inputs), timesteps, schedule)
    flat = [value.flatten(1).tolist() for value in inputs]
    assert found.dtype == dtype
    for place, step in enumerate(TIMESTEPS):
        pixels = zip(*(values[place] for values in flat), strict=True)
        terms = [naive_bound(*pixel, step) for pixel in pixels]
        wanted = sum(terms) / len(terms)
        assert found[place].item() == pytest.approx(wanted, rel=1e-9 if dtype == torch.float64 else 2e-3), step


@pytest.mark.parametrize("value", [-1.0, 1.0, 127 / 127.5 - 1], ids=["darkest", "brightest", "grey"])
@pytest.mark.parametrize("off", [0.0, 0.3, -0.3, 900.0, -900.0])
def test_the_likelihood_of_every_bin_is_that_of_a_normal_distribution(value, off, schedule):
    clean = torch.full((1, 1, 1, 1), value, dtype=torch.float64)
    noisy = schedule.add_noise(clean, torch.ones_like(clean), torch.tensor([0]))
    predicted, interpolation = torch.full_like(clean, 1 + off), torch.full_like(clean, 0.4)
    (found,) = variational_bound(predicted, interpolation, clean, noisy, torch.tensor([0]), schedule).tolist()
    exact = naive_bound(1 + off, 0.4, value, noisy.item(), 0, exact_cumulative)
    assert found == pytest.approx(exact, abs=2e-3)
    assert found <= -math.log2(1e-12) + 1e-9


def test_without_learned_variance_the_loss_is_the_squared_error_of_the_noise(schedule, timesteps):
    clean, noise, output = draw(1), draw(2), draw(3)
    noisy = schedule.add_noise(clean, noise, timesteps)
    pairs = zip(output.flatten().tolist(), noise.flatten().tolist(), strict=True)
    expected = sum((a - b) ** 2 for a, b in pairs) / noise.numel()
    assert diffusion_loss(output, clean, noisy, noise, timesteps, schedule).item() == pytest.approx(expected, rel=1e-9)


def test_the_bound_is_added_and_moves_the_variance_alone(schedule, timesteps):
    clean, noise = draw(1), draw(2)
    noisy = schedule.add_noise(clean, noise, timesteps)
    output = torch.cat([draw(3), draw(4)], 1).requires_grad_()
    loss = diffusion_loss(output, clean, noisy, noise, timesteps, schedule)
    loss.backward()
    plain = output.detach()[:, :2].clone().requires_grad_()
    error = (plain - noise).square().mean()
    error.backward()
    assert torch.equal(output.grad[:, :2], plain.grad)
    assert (output.grad[:, 2:] != 0).all()
    bound = variational_bound(output.detach()[:, :2], output.detach()[:, 2:], clean, noisy, timesteps, schedule)
    torch.testing.assert_close(loss.detach(), error.detach() + bound.mean())


def test_an_output_is_split_into_noise_and_variance():
    output = torch.arange(24.0).view(2, 6, 2, 1)
    noise, interpolation = split_output(output, 3)
    assert torch.equal(noise, output[:, :3])
    assert torch.equal(interpolation, output[:, 3:])
    noise, interpolation = split_output(output, 6)
    assert torch.equal(noise, output)
    assert interpolation is None
