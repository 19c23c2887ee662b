"""Tests of the ImageNet protocols' augmentation, against a version that visits one pixel after the other in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from ddbench.augment import imagenet
from ddbench.augment.imagenet import (
    LIGHTING_VALUES,
    LIGHTING_VECTORS,
    add_lighting,
    apply_imagenet,
    draw_imagenet,
    imagenet_augment,
    jitter_colours,
    resized_crop,
)
from ddbench.errors import BadInputError
from ddbench.protocol import PROTOCOLS

RECIPE = PROTOCOLS.get("imagenet-hard").image_augmentation
Pixels = np.ndarray  # one image, (3, S, S) float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_pixels(count: int, side: int, seed: int = 5) -> Tensor:
    return torch.rand(count, 3, side, side, dtype=torch.float64, generator=seeded(seed))


def naive_crop(image: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    """Bilinear, pixel centres at i + 1/2, the crop's outermost pixels repeated."""
    _, side, _ = image.shape
    out = np.zeros_like(image)
    for c, y, x in np.ndindex(image.shape):
        row = min(max((y + 0.5) / side * height - 0.5, 0), height - 1)
        column = min(max((x + 0.5) / side * width - 0.5, 0), width - 1)
        for near_row in {math.floor(row), math.ceil(row)}:
            for near_column in {math.floor(column), math.ceil(column)}:
                weight = (1 - abs(row - near_row)) * (1 - abs(column - near_column))
                out[c, y, x] += weight * image[c, top + near_row, left + near_column]
    return out


def naive_grey(image: Pixels) -> Pixels:
    return 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]


def naive_step(image: Pixels, kind: int, weight: float) -> Pixels:
    """torch.lerp of misc/utils.py: image + weight * (target - image)."""
    grey = naive_grey(image)
    out = image.copy()
    for c, y, x in np.ndindex(image.shape):
        target = [0.0, grey.sum() / grey.size, grey[y, x]][kind]
        out[c, y, x] = image[c, y, x] + weight * (target - image[c, y, x])
    return out


def naive_lighting(image: Pixels, weights: list[float]) -> Pixels:
    out = image.copy()
    for c, y, x in np.ndindex(image.shape):
        for j in range(3):
            out[c, y, x] += LIGHTING_VECTORS[c][j] * LIGHTING_VALUES[j] * weights[j]
    return out


def test_the_whole_pipeline_equals_a_loop_in_its_order():
    pixels = random_pixels(6, 9)
    draw = draw_imagenet(seeded(3), RECIPE, 6, 9)
    assert 0 < int(draw.flips.sum()) < 6
    expected = []
    for i, image in enumerate(pixels.numpy()):
        out = naive_crop(image, *(int(n) for n in draw.boxes[i].tolist()))
        if draw.flips[i]:
            out = out[:, :, ::-1]
        for kind, weight in zip(draw.order[i].tolist(), draw.weights[i].double().tolist(), strict=True):
            out = naive_step(out, kind, weight)
        expected.append(naive_lighting(out, draw.lighting[i].double().tolist()))
    torch.testing.assert_close(apply_imagenet(pixels, draw), torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-6)


def test_a_crop_is_scaled_as_interpolate_scales_it():
    pixels = random_pixels(5, 12).float()
    boxes = draw_imagenet(seeded(1), RECIPE, 5, 12).boxes
    found = resized_crop(pixels, boxes)
    for i, (top, left, height, width) in enumerate(boxes.int().tolist()):
        crop = pixels[i : i + 1, :, top : top + height, left : left + width]
        expected = interpolate(crop, size=(12, 12), mode="bilinear", align_corners=False)
        torch.testing.assert_close(found[i : i + 1], expected, rtol=0, atol=1e-5)
        ours = v2.functional.resized_crop(pixels[i], top, left, height, width, [12, 12], antialias=True)
        torch.testing.assert_close(found[i], ours, rtol=0, atol=1e-5)


def test_a_crop_of_the_whole_image_is_the_image():
    pixels = random_pixels(2, 7)
    whole = torch.tensor([[0.0, 0, 7, 7]] * 2)
    torch.testing.assert_close(resized_crop(pixels, whole), pixels)


def test_crops_lie_inside_and_have_the_areas_and_shapes_asked_for():
    boxes = draw_imagenet(seeded(), RECIPE, 4000, 224).boxes.double()
    top, left, height, width = boxes.unbind(1)
    assert torch.equal(boxes, boxes.round())
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (height >= 1).all()
    assert (top + height <= 224).all()
    assert (left + width <= 224).all()
    areas = height * width / 224**2
    assert 0.49 < areas.min() < 0.52
    assert 0.97 < areas.max() <= 1
    ratios = width / height
    assert 0.74 < ratios.min() < 0.77
    assert 1.3 < ratios.max() < 1.35
    assert (top == 224 - height).any()
    assert (top == 0).any()


def test_crops_are_distributed_as_torchvisions():
    ours = draw_imagenet(seeded(), RECIPE, 2000, 64).boxes.double()
    image = torch.empty(3, 64, 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        crop = v2.RandomResizedCrop(64, scale=(0.5, 1.0))
        drawn = [crop.make_params([image]) for _ in range(2000)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in drawn]).double()
    for column in range(4):
        assert kstest(ours[:, column].numpy(), theirs[:, column].numpy()).pvalue > 1e-3
    products = [(boxes[:, 2] * boxes[:, 3]).numpy() for boxes in (ours, theirs)]
    assert kstest(*products).pvalue > 1e-3


def test_where_no_try_fits_the_whole_image_is_kept(monkeypatch):
    monkeypatch.setattr(imagenet, "ASPECT", (50.0, 60.0))
    assert draw_imagenet(seeded(), RECIPE, 3, 16).boxes.tolist() == [[0, 0, 16, 16]] * 3


def test_jitter_follows_each_images_own_order():
    pixels = random_pixels(6, 4)
    order = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    weights = torch.tensor([[0.4, -0.3, 0.2]] * 6, dtype=torch.float64)
    found = jitter_colours(pixels, order, weights)
    for i, kinds in enumerate(order.tolist()):
        expected = pixels[i].numpy()
        for kind, weight in zip(kinds, weights[i].tolist(), strict=True):
            expected = naive_step(expected, kind, weight)
        torch.testing.assert_close(found[i], torch.from_numpy(expected))


@pytest.mark.parametrize("kind", range(3))
def test_a_weight_of_one_is_the_target_and_below_zero_nothing_is_clamped(kind):
    pixels = random_pixels(1, 4)
    order, grey = torch.tensor([[kind, (kind + 1) % 3, (kind + 2) % 3]]), naive_grey(pixels[0].numpy())
    whole = jitter_colours(pixels, order, torch.tensor([[1.0, 0, 0]], dtype=torch.float64))[0].numpy()
    target = [np.zeros((4, 4)), np.full((4, 4), grey.mean()), grey][kind]
    np.testing.assert_allclose(whole, np.stack([target] * 3), atol=1e-12)
    away = jitter_colours(pixels, order, torch.tensor([[-5.0, 0, 0]], dtype=torch.float64))
    assert away.max() > 1
    assert kind == 0 or away.min() < 0


def test_lighting_adds_the_principal_components_of_imagenets_colours():
    # AlexNet's constants as data.py of vimar-gu/MinimaxDiffusion has them: one component per column.
    assert LIGHTING_VALUES == (0.2175, 0.0188, 0.0045)
    vectors = torch.tensor(LIGHTING_VECTORS)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), rtol=0, atol=1e-3)
    pixels = random_pixels(3, 2)
    found = add_lighting(pixels, torch.eye(3, dtype=torch.float64))
    for j in range(3):
        shift = vectors[:, j].double() * LIGHTING_VALUES[j]
        torch.testing.assert_close(found[j] - pixels[j], shift.view(3, 1, 1).expand(3, 2, 2), rtol=0, atol=1e-7)
    assert vectors[:, 0].tolist() == pytest.approx([-0.5675, -0.5808, -0.5836])


def test_draws_have_the_recipes_distributions():
    draw = draw_imagenet(seeded(), RECIPE, 6000, 32)
    assert abs(draw.flips.double().mean() - 0.5) < 0.03
    assert chisquare((draw.order @ torch.tensor([9, 3, 1])).unique(return_counts=True)[1]).pvalue > 1e-3
    assert draw.order.sort(1).values.unique(dim=0).tolist() == [[0, 1, 2]]
    assert kstest(draw.weights.flatten().numpy(), "uniform", (-0.4, 0.8)).pvalue > 1e-3
    assert kstest(draw.lighting.flatten().div(0.1).numpy(), "norm").pvalue > 1e-3


def test_one_seed_gives_one_augmentation_and_leaves_images_and_global_generator_alone():
    pixels, before = random_pixels(4, 8), torch.get_rng_state()
    kept = pixels.clone()
    first, again = (imagenet_augment(pixels, seeded(7), RECIPE) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, imagenet_augment(pixels, seeded(8), RECIPE))
    assert torch.equal(pixels, kept)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_of_nothing_changes_nothing():
    nothing = replace_recipe(crop_area=(1.0, 1.0), flip=0.0, jitter=0.0, lighting=0.0)
    pixels = random_pixels(3, 8)
    draw = replace(draw_imagenet(seeded(), nothing, 3, 8), boxes=torch.tensor([[0.0, 0, 8, 8]] * 3))
    torch.testing.assert_close(apply_imagenet(pixels, draw), pixels, rtol=0, atol=1e-12)


def replace_recipe(**changes: object) -> imagenet.ImageAugmentation:
    return RECIPE.model_copy(update=changes)


def test_images_without_three_channels_are_refused():
    with pytest.raises(BadInputError, match="need images of 3 channels, got 1; use dsa or dc"):
        imagenet_augment(torch.rand(2, 1, 8, 8), seeded(), RECIPE)
