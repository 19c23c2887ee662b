"""Drawing images from a denoiser with classifier-free guidance.

Papers: Ho, Salimans, "Classifier-Free Diffusion Guidance" (arXiv 2207.12598); Nichol, Dhariwal (arXiv 2102.09672) for
ancestral sampling on respaced steps; Lu et al., "DPM-Solver++" (arXiv 2211.01095).
Checked against: facebookresearch/DiT, whose guidance acts on the first three channels only.
Differs from it: every image has a noise of its own, drawn from its class and index.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.guidance import Guide, GuidedStep, step_deviation
from ddbench.diffusion.noising import BETA_END, BETA_START, NUM_TIMESTEPS, split_output
from ddbench.errors import BadInputError
from ddbench.seeding import make_generator

GUIDED_CHANNELS = 3
Sampler = Literal["ddpm", "dpm++"]


@dataclass(frozen=True)
class SamplingPlan:
    """How images are drawn.

    Attributes:
        sampler: `ddpm` (ancestral) or `dpm++` (second order, without noise of its own).
        steps: calls of the denoiser per image; the paper takes 50 of `ddpm`.
        guidance: 1 for none.
        clips: keep predicted clean inputs in [-1, 1], for pixels; `dpm++` clips only the end.
        strength: of images that are drawn from given starts, the share of the steps that are taken, the last ones; as
            diffusers' image-to-image has it.
    """

    sampler: Sampler = "ddpm"
    steps: int = 50
    guidance: float = 4.0
    clips: bool = False
    strength: float = 1.0


def sampling_batches(classes: Sequence[int], ipc: int, batch_size: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (index, labels) of the batches of a set: of one index each, so that a smaller set's are a larger set's.

    The sizes depend on the classes alone: what else a batch holds can move an image by a float's rounding.
    """
    parts = split_evenly(classes, batch_size)
    for index in range(ipc):
        for labels in parts:
            yield index, labels


def split_evenly(items: Sequence[int], largest: int) -> list[list[int]]:
    """Cut a sequence into runs of nearly equal length, none longer than `largest`."""
    count = -(-len(items) // largest)
    ends = [len(items) * part // count for part in range(count + 1)]
    return [list(items[start:end]) for start, end in pairwise(ends)]


@torch.no_grad()
def draw_images(
    denoiser: Denoiser,
    labels: list[int],
    index: int | Sequence[int],
    class_ids: Tensor,
    plan: SamplingPlan,
    seed: int,
    starts: Mapping[int, Tensor] | None = None,
    guide: Guide | None = None,
) -> Tensor:
    """Return one denoised input per label, (B, C, H, W) float32 on the denoiser's device.

    Args:
        denoiser: in evaluation mode.
        labels: of the data set, B.
        index: which image of its class each is, one number for all or one each.
        class_ids: the denoiser's id of each data set label, (K,) int64.
        plan: how.
        seed: with label and index it decides all draws of an image.
        starts: by label, clean inputs (C, H, W) that are noised and denoised again; None for pure noise.
        guide: adds to the samples after each step of `ddpm`; None for nothing.

    Raises:
        BadInputError: a guide and `dpm++`, whose steps add no noise.
    """
    if guide is not None and plan.sampler != "ddpm":
        raise BadInputError(f"guided steps are those of sampler=ddpm, got sampler={plan.sampler}")
    device = next(denoiser.parameters()).device
    shape = denoiser.shape
    indices = [index] * len(labels) if isinstance(index, int) else index
    generators = [make_generator(seed, "image", *place) for place in zip(labels, indices, strict=True)]
    size = (shape.channels, shape.image_size, shape.image_size)
    noisy = torch.stack([torch.randn(size, generator=generator) for generator in generators]).to(device)
    ids = class_ids[labels].to(device)
    scheduler = _make_scheduler(plan, learns_variance=shape.learns_variance)
    with warnings.catch_warnings():  # diffusers hands torch tensors to numpy in a way numpy will change
        warnings.simplefilter("ignore", DeprecationWarning)
        scheduler.set_timesteps(plan.steps)
    timesteps = scheduler.timesteps
    if starts is not None:
        timesteps = timesteps[len(timesteps) - max(1, int(plan.steps * plan.strength)) :]
        clean = torch.stack([starts[label] for label in labels]).to(device)
        noisy = scheduler.add_noise(clean, noisy, timesteps[:1])
        if plan.sampler == "dpm++":
            scheduler.set_begin_index(plan.steps - len(timesteps))
    for timestep, following in zip(timesteps, [*timesteps[1:].tolist(), None], strict=True):
        output = _guided(denoiser, noisy, timestep.to(device), ids, plan.guidance)
        noise, interpolation = split_output(output, shape.channels)
        if plan.sampler == "dpm++":
            noisy = scheduler.step(noise, timestep, noisy).prev_sample
            continue
        step = scheduler.step(output, timestep, noisy, generator=generators)
        noisy = step.prev_sample
        if guide is not None:
            deviation = step_deviation(int(timestep), following, interpolation).to(noisy).expand_as(noisy)
            steps_left = int((timesteps < timestep).sum())
            shift = guide(GuidedStep(labels, indices, steps_left, step.pred_original_sample, deviation))
            noisy = noisy if shift is None else noisy + shift
    return noisy


def _guided(denoiser: Denoiser, noisy: Tensor, timestep: Tensor, ids: Tensor, guidance: float) -> Tensor:
    """Return the raw output (B, C or 2C, H, W), the noise of the first channels guided away from the null class."""
    if guidance == 1:
        return cast(Tensor, denoiser(noisy, timestep.expand(len(noisy)), ids))
    both = torch.cat([ids, torch.full_like(ids, denoiser.null_class)])
    output: Tensor = denoiser(noisy.repeat(2, 1, 1, 1), timestep.expand(len(both)), both)
    of_class, of_none = output.chunk(2)
    channels = min(GUIDED_CHANNELS, noisy.shape[1])
    guided = of_none[:, :channels].lerp(of_class[:, :channels], guidance)
    return torch.cat([guided, of_class[:, channels:]], 1)


def _make_scheduler(plan: SamplingPlan, *, learns_variance: bool) -> Any:  # noqa: ANN401 - diffusers has no types
    constants = {"num_train_timesteps": NUM_TIMESTEPS, "beta_start": BETA_START, "beta_end": BETA_END}
    if plan.sampler == "dpm++":
        return DPMSolverMultistepScheduler(**constants, beta_schedule="linear", algorithm_type="dpmsolver++")
    return DDPMScheduler(
        **constants,
        beta_schedule="linear",
        timestep_spacing="linspace",
        variance_type="learned_range" if learns_variance else "fixed_small",
        clip_sample=plan.clips,
    )
