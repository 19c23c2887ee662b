"""Tests of patch shuffles and padded crops against loops over pixels."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from ddbench.augment.imagenet import imagenet_augment
from ddbench.augment.placement import draw_offsets, draw_patches, padded_crop, shuffle_patches
from ddbench.training_recipe import ImageAugmentation

PLAIN = ImageAugmentation(crop_area=(1.0, 1.0), flip=0.0, jitter=0.0, lighting=0.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("grid", "side"), [(1, 4), (2, 6), (2, 7), (3, 8)])
def test_patches_change_places_column_by_column_and_row_by_row(grid, side):
    images = torch.rand(5, 2, side, side, generator=seeded(1))
    orders = draw_patches(seeded(2), grid, 5)
    found, width = shuffle_patches(images, orders), side // grid
    bounds = [(at * width, (at + 1) * width if at < grid - 1 else side) for at in range(grid)]
    for image, (columns, rows), moved in zip(images, orders.tolist(), found, strict=True):
        expected = torch.cat([image[:, :, slice(*bounds[at])] for at in columns], 2)
        expected = torch.cat([expected[:, slice(*bounds[at])] for at in rows], 1)
        assert torch.equal(moved, expected)


def test_every_order_is_drawn_about_as_often():
    drawn = draw_patches(seeded(), 3, 3000).flatten(0, 1).tolist()
    counts = [sum(order == list(wanted) for order in drawn) for wanted in permutations(range(3))]
    assert sum(counts) == 6000
    assert all(abs(count - 1000) < 5 * 29 for count in counts)  # standard deviation of 6,000 draws at one in six


def test_crops_are_of_the_image_with_a_black_rim():
    pixels = torch.rand(40, 3, 5, 5, generator=seeded(1)) + 0.1
    offsets = draw_offsets(seeded(2), 2, 40)
    assert (offsets.min(), offsets.max()) == (0, 4)
    found = padded_crop(pixels, offsets, 2)
    for image, (top, left), crop in zip(pixels, offsets.tolist(), found, strict=True):
        for row in range(5):
            for column in range(5):
                y, x = row + top - 2, column + left - 2
                inside = 0 <= y < 5 and 0 <= x < 5
                assert torch.equal(crop[:, row, column], image[:, y, x] if inside else torch.zeros(3))


def test_a_recipe_without_crops_and_colours_leaves_images_alone_whatever_their_channels():
    pixels = torch.rand(4, 1, 6, 6)
    assert torch.equal(imagenet_augment(pixels, seeded(), PLAIN), pixels)
    shuffled = imagenet_augment(pixels, seeded(1), PLAIN.model_copy(update={"grid": 2}))
    assert torch.equal(shuffled.flatten(1).sort(1).values, pixels.flatten(1).sort(1).values)
    assert not torch.equal(shuffled, pixels)
    shifted = imagenet_augment(pixels, seeded(), PLAIN.model_copy(update={"padding": 1}))
    assert shifted.shape == pixels.shape
    assert not torch.equal(shifted, pixels)
