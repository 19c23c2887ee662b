"""How good a backbone is: what of the real images its samples reach, and how well it denoises images it never saw.

A method of this kind can be no better than what it draws from, so these numbers stand with every result.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ddbench.diffusion.codec import Codec, PixelCodec
from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.inputs import InputSource
from ddbench.diffusion.noising import NUM_TIMESTEPS, NoiseSchedule, diffusion_loss
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.distilled.dataset import DistilledDataset
from ddbench.features.feature_space import (
    FeatureSpace,
    as_normalised,
    default_extractor,
    find_feature_space,
    measure_set,
)
from ddbench.features.set_measures import expected_coverage, frechet_distance
from ddbench.host.files import write_text
from ddbench.images import LabeledImages
from ddbench.method import RunContext
from ddbench.seeding import make_generator

QUALITY_FILE = "quality.json"
# Below these a backbone's samples are no images of their classes, or too few kinds of them: our choice, see
# docs/results.md for where backbones stand.
LEAST_PRECISION, LEAST_COVERAGE = 0.8, 0.5
SAMPLES, PER_CLASS = 500, (5, 50)  # images drawn, about, and the fewest and most of a class
REAL = 5000  # real images, about, that the Frechet distance is to
LOSS_DRAWS = 4  # noise levels an image, one of each quarter of all
CHUNK = 64


def measure_backbone(
    denoiser: Denoiser, codec: Codec, class_ids: Tensor, train: LabeledImages, ctx: RunContext
) -> dict[str, Any]:
    """Return measures of a backbone's samples, drawn without guidance, beside the real images of a training split.

    Args:
        denoiser: on the device.
        codec: what its inputs are decoded by.
        class_ids: the denoiser's id of each label, (K,) int64.
        train: the real images, of the size it draws.
        ctx: device and progress; its generator is not used.

    Returns:
        `precision` and `coverage` (fractions, means over classes) and `coverage_of_real`, what as many real images are
        expected to cover, each None where no class has two images; `frechet_distance` in the extractor's features;
        `samples_per_class` and `extractor`.
    """
    least, most = PER_CLASS
    per_class = max(least, min(most, SAMPLES // train.num_classes))
    drawn = _draw(denoiser.eval(), codec, class_ids, train, per_class, ctx)
    space = find_feature_space(default_extractor(train.info), train, ctx)
    found = measure_set(drawn, train.info, space, ctx)
    counts = [count for label in range(train.num_classes) if (count := len(train.of_class(label))) > 1]
    return {
        "samples_per_class": per_class,
        "extractor": space.name,
        "precision": found.get("precision"),
        "coverage": found.get("coverage"),
        "coverage_of_real": fmean(expected_coverage(count, per_class) for count in counts) if counts else None,
        "frechet_distance": _distance(drawn, space, train, ctx),
    }


@torch.no_grad()
def denoising_loss(denoiser: Denoiser, inputs: InputSource, class_ids: Tensor, seed: int) -> float:
    """Return the mean diffusion loss over images, each at `LOSS_DRAWS` noise levels; the draws follow from `seed`."""
    device = next(denoiser.eval().parameters()).device
    schedule = NoiseSchedule.linear(device)
    generator = make_generator(seed, "denoising loss")
    losses = []
    for places in torch.arange(LOSS_DRAWS * len(inputs.labels)).split(CHUNK):
        indices, quarter = places // LOSS_DRAWS, places % LOSS_DRAWS
        shape = (len(indices), denoiser.shape.channels, *(denoiser.shape.image_size,) * 2)
        clean = inputs.take(
            indices, torch.zeros(len(indices), dtype=torch.bool), torch.randn(shape, generator=generator)
        )
        within = torch.rand(len(indices), generator=generator)
        timesteps = ((quarter + within) * (NUM_TIMESTEPS / LOSS_DRAWS)).long().clamp(max=NUM_TIMESTEPS - 1).to(device)
        noise, clean = torch.randn(shape, generator=generator).to(device), clean.to(device)
        noisy = schedule.add_noise(clean, noise, timesteps)
        output = denoiser(noisy, timesteps, class_ids[inputs.labels[indices]].to(device))
        losses.append(float(diffusion_loss(output, clean, noisy, noise, timesteps, schedule)) * len(indices))
    return sum(losses) / (LOSS_DRAWS * len(inputs.labels))


def save_quality(quality: Mapping[str, Any], folder: Path) -> None:
    """Write measures of a backbone into the folder of its foundation."""
    write_text(folder / QUALITY_FILE, json.dumps(quality, indent=1) + "\n")


def read_quality(folder: Path) -> dict[str, Any]:
    """Return the measures of a backbone that stand in the folder of its foundation, whose files are checked."""
    return dict(json.loads((folder / QUALITY_FILE).read_text(encoding="utf-8")))


def warn_of_poor_backbone(quality: Mapping[str, Any]) -> None:
    """Warn in one line where a backbone's samples are below the floor."""
    if quality["precision"] is None:
        return
    problems = []
    if quality["precision"] < LEAST_PRECISION:
        problems.append(f"{quality['precision']:.0%} of its samples look real (floor {LEAST_PRECISION:.0%})")
    if quality["coverage"] < (floor := LEAST_COVERAGE * quality["coverage_of_real"]):
        problems.append(f"its samples cover {quality['coverage']:.1%} of the training images (floor {floor:.1%})")
    if problems:
        warnings.warn(
            f"poor backbone: {' and '.join(problems)}; what is drawn from it says little of the method: "
            "train it longer (scratch_steps) or give a better one (backbone)",
            stacklevel=3,
        )


def _draw(
    denoiser: Denoiser, codec: Codec, class_ids: Tensor, train: LabeledImages, per_class: int, ctx: RunContext
) -> DistilledDataset:
    plan = SamplingPlan(guidance=1, clips=isinstance(codec, PixelCodec))
    info = train.info
    places = [(label, index) for label in range(info.num_classes) for index in range(per_class)]
    images = []
    for start in ctx.track(range(0, len(places), CHUNK), "sampling to judge the backbone"):
        classes, indices = zip(*places[start : start + CHUNK], strict=True)
        images.append(codec.decode(draw_images(denoiser, list(classes), indices, class_ids, plan, seed=0)).cpu())
    labels = torch.arange(info.num_classes).repeat_interleave(per_class)
    return DistilledDataset(torch.cat(images), labels, info.num_classes, per_class, "pixels")


def _distance(drawn: DistilledDataset, space: FeatureSpace, train: LabeledImages, ctx: RunContext) -> float:
    data = as_normalised(drawn, train.info, ctx.device)
    generated = space.embed(data, torch.arange(len(drawn.labels)))
    most = max(PER_CLASS[0], REAL // train.num_classes)
    real = torch.cat([space.real_class(label)[0][:most] for label in range(train.num_classes)])
    return frechet_distance(real, generated)
