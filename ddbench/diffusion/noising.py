"""The forward process of diffusion and the losses of a denoiser.

Papers: Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv 2006.11239); Nichol, Dhariwal,
"Improved Denoising Diffusion Probabilistic Models", ICML 2021 (arXiv 2102.09672), for the learned variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 1e-4, 0.02  # linear, the original DiT's
BIN = 1 / 255  # half the width of an 8-bit pixel's bin in [-1, 1]; the original uses it for latents, too


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Constants of the forward process, each (T,) float64 on one device; step t = 0 has the least noise.

    What is computed of them stays float64 until it meets an image: near t = 0 a float32 of 1 - signal has 3 digits.

    Attributes:
        signal: alpha-bar, the share of the clean variance left at t.
        betas: variance added at t.
    """

    signal: Tensor
    betas: Tensor

    @classmethod
    def linear(cls, device: torch.device | str = "cpu") -> NoiseSchedule:
        """Return the schedule of the original DiT."""
        betas = torch.linspace(BETA_START, BETA_END, NUM_TIMESTEPS, dtype=torch.float64)
        return cls(torch.cumprod(1 - betas, 0).to(device), betas.to(device))

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return x_t for clean inputs and unit noise (B, C, H, W) at timesteps (B,) int64 (DDPM, eq. 4)."""
        signal = self.signal[timesteps]
        return _per_image(signal.sqrt(), clean) * clean + _per_image((1 - signal).sqrt(), clean) * noise

    def predict_clean(self, noisy: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean input that a predicted noise implies, (B, C, H, W) (DDPM, eq. 15)."""
        signal = self.signal[timesteps]
        return (noisy - _per_image((1 - signal).sqrt(), noisy) * noise) / _per_image(signal.sqrt(), noisy)

    def posterior_mean(self, clean: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Return the mean of x_{t-1} given the clean input and x_t, (B, C, H, W) (DDPM, eq. 7)."""
        signal, before, beta = self._around(timesteps)
        of_clean = before.sqrt() * beta / (1 - signal)
        of_noisy = (1 - beta).sqrt() * (1 - before) / (1 - signal)
        return _per_image(of_clean, clean) * clean + _per_image(of_noisy, clean) * noisy

    def log_variances(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of the smallest and largest reverse variance, (B,) float64 each (DDPM, sec. 3.2).

        The smallest is 0 at t = 0, whose logarithm is replaced by that at t = 1, as in the reference.
        """
        signal, before, _ = self._around(timesteps.clamp(min=1))
        beta = self.betas[timesteps.clamp(min=1)]
        return (beta * (1 - before) / (1 - signal)).log(), self.betas[timesteps].log()

    def _around(self, timesteps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        before = torch.where(timesteps > 0, self.signal[(timesteps - 1).clamp(min=0)], 1.0)
        return self.signal[timesteps], before, self.betas[timesteps]


def diffusion_loss(
    output: Tensor, clean: Tensor, noisy: Tensor, noise: Tensor, timesteps: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """Return the mean loss over a batch, (): squared error of the noise, plus the bound where variance is learned.

    Args:
        output: the denoiser's, (B, C, H, W), or (B, 2C, H, W) with the variance's interpolation last.
        clean: (B, C, H, W).
        noisy: x_t.
        noise: what was added, unit variance.
        timesteps: (B,) int64.
        schedule: on the same device.
    """
    predicted, interpolation = split_output(output, clean.shape[1])
    loss = (predicted - noise).square().mean()
    if interpolation is None:
        return loss
    bound = variational_bound(predicted.detach(), interpolation, clean, noisy, timesteps, schedule)
    return loss + bound.mean()


def split_output(output: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """Split a denoiser's output into noise (B, C, H, W) and the variance's interpolation, None where not learned."""
    return output[:, :channels], output[:, channels:] if output.shape[1] > channels else None


def variational_bound(
    predicted: Tensor, interpolation: Tensor, clean: Tensor, noisy: Tensor, timesteps: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """Return each sample's term of the variational bound, (B,), in bits per dimension (improved DDPM, sec. 3.1).

    Args:
        predicted: noise (B, C, H, W), without gradient where the bound must not move the mean.
        interpolation: (B, C, H, W), -1 for the smallest and 1 for the largest reverse variance.
        clean: (B, C, H, W).
        noisy: x_t.
        timesteps: (B,) int64; at 0 the term is the likelihood of the clean input in 8-bit bins.
        schedule: on the same device.
    """
    low, high = (_per_image(log_variance, clean) for log_variance in schedule.log_variances(timesteps))
    fraction = (interpolation + 1) / 2
    log_variance = fraction * high + (1 - fraction) * low
    mean = schedule.posterior_mean(schedule.predict_clean(noisy, predicted, timesteps), noisy, timesteps)
    true_mean = schedule.posterior_mean(clean, noisy, timesteps)
    divergence = 0.5 * (
        log_variance - low - 1 + (low - log_variance).exp() + (true_mean - mean).square() * (-log_variance).exp()
    )
    term = torch.where(_per_image(timesteps, clean) == 0, _surprise(clean, mean, log_variance), divergence)
    return term.flatten(1).mean(1) / math.log(2)


def _surprise(clean: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return minus the log likelihood of 8-bit values in [-1, 1] under a Gaussian; the outermost bins are open."""
    scale = (-0.5 * log_variance).exp()
    above = _cumulative((clean - mean + BIN) * scale)
    below = _cumulative((clean - mean - BIN) * scale)
    likelihood = torch.where(clean < -0.999, above, torch.where(clean > 0.999, 1 - below, above - below))
    return -likelihood.clamp(min=1e-12).log()


def _cumulative(x: Tensor) -> Tensor:
    """Return the reference's approximation of the standard normal distribution function."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """Return values (B,) as (B, 1, 1, 1) of the type of `like` where that is a float type."""
    return values.to(like.dtype).view(-1, 1, 1, 1) if values.is_floating_point() else values.view(-1, 1, 1, 1)
