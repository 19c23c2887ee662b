"""Tests of how a backbone is judged."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from ddbench.diffusion import quality
from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.denoiser import DenoiserShape
from ddbench.diffusion.inputs import ChosenInputs, PixelInputs
from ddbench.diffusion.noising import NoiseSchedule
from ddbench.diffusion.quality import (
    denoising_loss,
    measure_backbone,
    read_quality,
    save_quality,
    warn_of_poor_backbone,
)
from ddbench.images import LabeledImages
from tests.diffusion._small_models import random_denoiser

SHAPE = DenoiserShape(8, 1, 10, patch_size=8, width=16, depth=2, heads=2)
GOOD = {"precision": 0.95, "coverage": 0.7, "coverage_of_real": 0.8}
pytestmark = pytest.mark.usefixtures("own_cache")


def test_samples_of_an_untrained_backbone_are_far_from_the_real_images(digits, context, monkeypatch):
    monkeypatch.setattr(quality, "SAMPLES", 60)
    found = measure_backbone(random_denoiser(SHAPE), PixelCodec(), torch.arange(10), digits, context)
    assert found["samples_per_class"] == 6
    assert found["extractor"] == "convnet-d1"
    assert found["precision"] < 0.2
    assert found["coverage"] < 0.5 * found["coverage_of_real"]
    assert found["frechet_distance"] > 5
    json.dumps(found)


def test_real_images_as_samples_pass_every_floor(digits, context, monkeypatch):
    def draw(denoiser, labels, indices, class_ids, plan, seed):
        places = [digits.of_class(label)[index] for label, index in zip(labels, indices, strict=True)]
        images = digits.pixels(torch.stack(places))
        return PixelCodec().encode(images)[0]

    monkeypatch.setattr(quality, "draw_images", draw)
    found = measure_backbone(random_denoiser(SHAPE), PixelCodec(), torch.arange(10), digits, context)
    assert found["precision"] == 1
    assert found["coverage"] > 0.9 * found["coverage_of_real"]  # the first of a class, by a few writers
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_poor_backbone(found)


def test_the_loss_is_the_mean_squared_error_at_levels_spread_over_all(digits, monkeypatch):
    monkeypatch.setattr(quality, "LOSS_DRAWS", 400)
    inputs, ids = PixelInputs(digits, [0, 1], PixelCodec()), torch.arange(10)
    denoiser = random_denoiser(SHAPE).eval()
    some = torch.arange(3)
    found = denoising_loss(denoiser, ChosenInputs(inputs, some), ids, seed=3)
    assert found == denoising_loss(denoiser, ChosenInputs(inputs, some), ids, seed=3)
    assert found != denoising_loss(denoiser, ChosenInputs(inputs, some), ids, seed=4)
    expected = naive_loss(denoiser, inputs, some, ids)
    assert found == pytest.approx(expected, rel=0.03)  # another draw of noise and levels


@torch.no_grad()
def naive_loss(denoiser, inputs, chosen, ids, draws=400):
    schedule, generator, losses = NoiseSchedule.linear(), torch.Generator().manual_seed(8), []
    for index in chosen.tolist():
        clean = inputs.take(torch.tensor([index]), torch.tensor([False]), None)
        for draw in range(draws):
            at = torch.tensor([int((draw + 0.5) * 1000 / draws)])
            noise = torch.randn(clean.shape, generator=generator)
            output = denoiser(schedule.add_noise(clean, noise, at), at, ids[inputs.labels[index]][None])
            losses.append((output - noise).square().mean())
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": 0.42}, "poor backbone: 42% of its samples look real (floor 80%); what"),
        ({"coverage": 0.1}, "poor backbone: its samples cover 10.0% of the training images (floor 40.0%); what"),
        ({"precision": 0.42, "coverage": 0.1}, "look real (floor 80%) and its samples cover 10.0% of the"),
    ],
)
def test_a_poor_backbone_is_told_in_one_line(changes, said):
    with pytest.warns(UserWarning, match=r"^poor backbone") as caught:
        warn_of_poor_backbone({**GOOD, **changes})
    (one,) = caught
    assert said in str(one.message)
    assert "\n" not in str(one.message)


def test_a_good_backbone_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_poor_backbone(GOOD)


def test_quality_is_kept_beside_the_backbone(tmp_path):
    save_quality(GOOD, tmp_path)
    assert read_quality(tmp_path) == GOOD


def test_classes_of_one_image_give_no_quality_and_no_warning(digits, context, monkeypatch):
    monkeypatch.setattr(quality, "SAMPLES", 50)
    first = torch.stack([digits.of_class(label)[0] for label in range(10)])
    few = LabeledImages(digits.pixels(first), digits.labels[first], digits.info)
    found = measure_backbone(random_denoiser(SHAPE), PixelCodec(), torch.arange(10), few, context)
    assert (found["precision"], found["coverage"], found["coverage_of_real"]) == (None, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_poor_backbone(found)
