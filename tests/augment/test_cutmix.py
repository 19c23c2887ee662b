"""Tests of CutMix, against a version that visits one pixel after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from ddbench.augment.cutmix import CutMixDraw, draw_cutmix, mix_images, mix_labels
from ddbench.training_recipe import CutMix

ALWAYS = CutMix(probability=1.0, beta=1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(seed: int = 0, count: int = 5, side: int = 9) -> CutMixDraw:
    found = draw_cutmix(seeded(seed), ALWAYS, count, side)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_images_equal_a_loop_over_pixels_and_stay_as_they_were(seed):
    images = torch.rand(5, 3, 9, 9, dtype=torch.float64, generator=seeded(9))
    kept, drawn = images.clone(), draw(seed)
    expected = images.numpy().copy()
    for b, c, y, x in np.ndindex(expected.shape):
        if drawn.rows[0] <= y < drawn.rows[1] and drawn.columns[0] <= x < drawn.columns[1]:
            expected[b, c, y, x] = images[int(drawn.partners[b]), c, y, x]
    assert torch.equal(mix_images(images, drawn), torch.from_numpy(expected))
    assert torch.equal(images, kept)


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_the_label_keeps_the_part_of_the_image_that_is_really_kept(seed, side):
    drawn = draw(seed, 4, side)
    mixed = mix_images(torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, side, side), drawn)
    own = (mixed == torch.arange(4.0).view(4, 1, 1, 1)).double().mean((1, 2, 3))
    moved = drawn.partners != torch.arange(4)
    assert torch.allclose(own[moved], torch.tensor(drawn.kept).double())
    assert 0 <= drawn.kept <= 1
    assert sorted(drawn.partners.tolist()) == [0, 1, 2, 3]


def test_hard_labels_become_the_references_weighted_sum_of_two_losses():
    labels, drawn = torch.tensor([0, 2, 1, 2, 0]), draw(3)
    logits = torch.randn(5, 3, dtype=torch.float64, generator=seeded(1))
    theirs = F.cross_entropy(logits, labels) * drawn.kept
    theirs = theirs + F.cross_entropy(logits, labels[drawn.partners]) * (1 - drawn.kept)
    mixed = mix_labels(labels, 3, drawn)
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed.sum(1), torch.ones(5))
    torch.testing.assert_close(F.cross_entropy(logits, mixed.double()), theirs, rtol=1e-6, atol=1e-6)


def test_soft_labels_are_mixed_as_they_are():
    labels, drawn = torch.rand(5, 3, generator=seeded(2)), draw(4)
    for found, own, other in zip(mix_labels(labels, 3, drawn), labels, labels[drawn.partners], strict=True):
        torch.testing.assert_close(found, drawn.kept * own + (1 - drawn.kept) * other)


def test_rectangles_have_the_references_shape():
    # rand_bbox of misc/utils.py: side int(S * sqrt(1 - area)), half of it, rounded down, on both sides of the centre.
    for seed in range(20):
        uniform, row, column = torch.rand(4, generator=seeded(seed), dtype=torch.float64).tolist()[1:]
        cut = int(16 * math.sqrt(1 - uniform))
        spans = [(max(int(u * 16) - cut // 2, 0), min(int(u * 16) + cut // 2, 16)) for u in (row, column)]
        drawn = draw(seed, 2, 16)
        assert [drawn.rows, drawn.columns] == spans


@pytest.mark.parametrize("beta", [1.0, 2.0, 4.0])
def test_areas_follow_the_beta_distribution(beta):
    recipe, side = CutMix(probability=1.0, beta=beta), 10**6
    generator, areas = seeded(), []
    while len(areas) < 400:
        drawn = draw_cutmix(generator, recipe, 1, side)
        inside = drawn.rows[0] > 0 and drawn.rows[1] < side and drawn.columns[0] > 0 and drawn.columns[1] < side
        areas.append(1 - ((drawn.rows[1] - drawn.rows[0]) / side) ** 2 if inside else None)
    # Clipped ones say nothing of what was drawn: a rectangle of side s is whole with probability (1 - s)^2.
    found = [area for area in areas if area is not None]
    grid = np.linspace(1e-6, 1 - 1e-6, 4001)
    density = grid ** (beta - 1) * (1 - grid) ** (beta - 1) * (1 - np.sqrt(1 - grid)) ** 2
    cumulative = np.cumsum(density) / density.sum()
    assert len(found) > 20
    assert kstest(found, lambda x: np.interp(x, grid, cumulative)).pvalue > 1e-3


def test_the_probability_counts_and_draws_are_the_same_either_way():
    generator = seeded()
    mixed = [draw_cutmix(generator, CutMix(probability=0.3, beta=1.0), 3, 8) is not None for _ in range(2000)]
    assert abs(sum(mixed) / 2000 - 0.3) < 0.04
    never, always = seeded(5), seeded(5)
    assert draw_cutmix(never, CutMix(probability=0.0, beta=1.0), 3, 8) is None
    draw_cutmix(always, ALWAYS, 3, 8)
    assert torch.equal(never.get_state(), always.get_state())


def test_the_global_generator_is_not_used():
    before = torch.get_rng_state()
    draw()
    assert torch.equal(torch.get_rng_state(), before)
