"""Tests of the views of images that teachers are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.methods._teacher.views import enlarged, rolled, shifted

INFO = replace(load_dataset("digits").info, image_size=16, may_be_mirrored=True)


def all_shifts(image: torch.Tensor, rim: int) -> list[torch.Tensor]:
    """Every shift of a (C, S, S) image by up to `rim` pixels, zeros moving in, and its mirror image."""
    side, found = image.shape[-1], []
    for down in range(-rim, rim + 1):
        for right in range(-rim, rim + 1):
            moved = torch.zeros_like(image)
            for y in range(max(0, down), min(side, side + down)):
                for x in range(max(0, right), min(side, side + right)):
                    moved[:, y, x] = image[:, y - down, x - right]
            found += [moved, moved.flip(2)]
    return found


@pytest.mark.parametrize("alike", [True, False])
def test_shifts_are_by_up_to_an_eighth_and_half_are_mirrored(alike):
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    possible, seen = [all_shifts(image, 2) for image in images], []
    for seed in range(40):
        views = shifted(images, INFO, torch.Generator().manual_seed(seed), alike=alike)
        seen.append(
            [
                next(i for i, p in enumerate(known) if torch.equal(p, view))
                for known, view in zip(possible, views, strict=True)
            ]
        )
    ways = torch.tensor(seen)
    assert bool((ways == ways[:, :1]).all()) == alike
    assert len(ways[:, 0].unique()) > 20  # of 50
    assert 0.25 < float((ways[:, 0] % 2).double().mean()) < 0.75


def test_images_that_may_not_be_mirrored_are_not():
    images = torch.rand(1, 1, 16, 16)
    info, straight = replace(INFO, may_be_mirrored=False), all_shifts(images[0], 2)[::2]
    for seed in range(20):
        view = shifted(images, info, torch.Generator().manual_seed(seed))[0]
        assert any(torch.equal(view, known) for known in straight)


def test_enlarged_parts_are_of_each_image_or_of_all_the_same():
    images = torch.rand(1, 1, 16, 16).expand(3, 1, 16, 16)
    together = enlarged(images, INFO, 0.08, torch.Generator().manual_seed(3))
    assert torch.equal(together[0], together[2])
    apart = enlarged(images, INFO, 0.08, torch.Generator().manual_seed(3), alike=False)
    assert not torch.equal(apart[0], apart[2])
    assert together.min() >= images.min() - 1e-6
    assert together.max() <= images.max() + 1e-6


def test_rolling_moves_pixels_round():
    images = torch.rand(2, 1, 16, 16)
    shifts = torch.randint(6, (2,), generator=torch.Generator().manual_seed(4)).tolist()
    assert torch.equal(rolled(images, 5, torch.Generator().manual_seed(4)), images.roll(shifts, (2, 3)))
