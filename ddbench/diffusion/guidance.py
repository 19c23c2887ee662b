"""Guidance by more than the class: what a method adds to samples at each step while they are drawn.

`draw_images` calls a guide after every ancestral step, with the clean inputs that the step predicts and the deviation
of the noise it adds; what the guide returns is added to the sample that the step gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ddbench.diffusion.noising import NoiseSchedule


@dataclass(frozen=True, eq=False)
class GuidedStep:
    """What is known at one step of B samples; tensors are float32 on the denoiser's device.

    Attributes:
        labels: of the data set, B.
        indices: which image of its class each is, B.
        steps_left: steps that follow; 0 at the last one.
        clean: predicted clean inputs, (B, C, H, W), clipped where the sampler clips.
        deviation: standard deviation of the step's noise, (B, C, H, W); 0 at the last step, which adds none.
    """

    labels: Sequence[int]
    indices: Sequence[int]
    steps_left: int
    clean: Tensor
    deviation: Tensor


# Returns what is added to the samples, (B, C, H, W), or None for nothing. It must draw nothing, and treat each sample
# by itself, since the samples of a batch may come in parts where memory runs out.
Guide = Callable[[GuidedStep], Tensor | None]


def step_deviation(timestep: int, following: int | None, interpolation: Tensor | None) -> Tensor:
    """Return the standard deviation of the noise of an ancestral step (improved DDPM, sec. 3.1), float64.

    Args:
        timestep: that the sample is at.
        following: that the step leads to; None for the clean input, where no noise is added.
        interpolation: (B, C, H, W), -1 for the smallest and 1 for the largest variance; None for the smallest.

    Returns:
        (), or the shape of the interpolation.
    """
    if following is None:
        return torch.zeros((), dtype=torch.float64)
    signal = NoiseSchedule.linear().signal
    beta = 1 - signal[timestep] / signal[following]
    smallest = beta * (1 - signal[following]) / (1 - signal[timestep])
    if interpolation is None:
        return smallest.sqrt()
    share = (interpolation.double() + 1) / 2
    return (0.5 * (share * float(beta.log()) + (1 - share) * float(smallest.log()))).exp()
