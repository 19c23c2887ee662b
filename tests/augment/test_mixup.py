"""Tests of Mixup against the mean written out."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from ddbench.augment.mixup import mixup
from ddbench.training_recipe import Mixup

RECIPE = Mixup(alpha=0.8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("soft", [False, True])
def test_images_and_labels_are_the_same_mean_of_two(soft):
    images, labels = torch.randn(6, 3, 4, 4, generator=seeded(1), dtype=torch.float64), torch.arange(6) % 4
    given = torch.rand(6, 4, generator=seeded(2)).softmax(1) if soft else labels
    mixed, distributions = mixup(images, given, 4, RECIPE, seeded(3))
    torch.testing.assert_close(distributions.sum(1), torch.ones(6))
    rows = given if soft else torch.eye(4)[labels]
    for at, image in enumerate(mixed):
        fits = []
        for partner in range(6):
            difference = images[at] - images[partner]
            own = ((image - images[partner]) * difference).sum() / difference.square().sum() if partner != at else 1.0
            expected = own * images[at] + (1 - own) * images[partner]
            label = own * rows[at] + (1 - own) * rows[partner]
            is_label = torch.allclose(distributions[at].double(), label.double(), atol=1e-6)
            if torch.allclose(image, expected) and is_label:
                fits.append((partner, float(own)))
        assert fits, f"image {at} is no mean of itself and another"


def test_the_weight_follows_beta():
    eye = torch.eye(64)[:, None, None, :].double()  # an image that tells its own weight
    weights = []
    for seed in range(300):
        mixed, _ = mixup(eye, torch.arange(64) % 2, 2, RECIPE, seeded(seed))
        own = mixed[:, 0, 0].diagonal()
        weights.append(float(own[own < 1].max()))
    assert stats.kstest(weights, stats.beta(0.8, 0.8).cdf).pvalue > 1e-3


def test_one_seed_gives_the_same_mixture():
    images, labels = torch.randn(6, 1, 2, 2), torch.arange(6)
    first, again, other = (mixup(images, labels, 6, RECIPE, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
