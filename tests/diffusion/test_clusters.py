"""Tests of the clusters of a class's encoded images."""

from __future__ import annotations

import pytest
import torch

from ddbench.diffusion.clusters import class_centers, cluster_centers
from ddbench.diffusion.foundation import BackboneConfig
from ddbench.method import RunContext

PIXELS = BackboneConfig(backbone="scratch", vae="none")
either = pytest.mark.parametrize("batch_size", [None, 30], ids=["lloyd", "mini-batch"])


@pytest.fixture
def ctx(tmp_path):
    return RunContext(torch.device("cpu"), torch.Generator(), None, foundation=tmp_path)


@either
def test_centres_of_clusters_far_apart_are_their_means(batch_size):
    draws = torch.Generator().manual_seed(0)
    groups = [center + 0.1 * torch.randn(40, 1, 2, 2, generator=draws) for center in (-5.0, 0.0, 7.0)]
    found = cluster_centers(torch.cat(groups), 3, 1, batch_size)
    assert found.dtype == torch.float32
    assert found.shape == (3, 1, 2, 2)
    ordered = found[found.mean((1, 2, 3)).argsort()]
    tolerance = 1e-5 if batch_size is None else 0.15
    assert torch.allclose(ordered, torch.stack([group.mean(0) for group in groups]), atol=tolerance)


def test_every_centre_of_lloyd_is_the_mean_of_the_inputs_nearest_to_it():
    inputs = torch.randn(60, 1, 3, 3, generator=torch.Generator().manual_seed(2))
    found = cluster_centers(inputs, 5, 3)
    nearest = torch.cdist(inputs.flatten(1).double(), found.flatten(1).double()).argmin(1)
    for place in range(5):
        torch.testing.assert_close(found[place], inputs[nearest == place].mean(0), rtol=0, atol=1e-5)


def test_as_many_centres_as_inputs_are_the_inputs():
    inputs = torch.randn(12, 1, 2, 2, generator=torch.Generator().manual_seed(4))
    distances = torch.cdist(cluster_centers(inputs, 12, 0).flatten(1), inputs.flatten(1))
    assert sorted(distances.argmin(1).tolist()) == list(range(12))
    assert distances.amin(1).max() < 1e-5


@either
def test_centres_of_a_class_follow_from_seed_and_class_alone(digits, ctx, batch_size):
    both = class_centers(PIXELS, digits, [3, 8], 4, 7, ctx, batch_size)
    (alone,) = class_centers(PIXELS, digits, [8], 4, 7, ctx, batch_size).values()
    (other,) = class_centers(PIXELS, digits, [8], 4, 8, ctx, batch_size).values()
    assert set(both) == {3, 8}
    assert torch.equal(both[8], alone)
    assert not torch.equal(other, alone)


def test_one_centre_is_the_mean_of_the_class_as_the_denoiser_sees_it(digits, ctx):
    (found,) = class_centers(PIXELS, digits, [5], 1, 0, ctx).values()
    pixels = digits.pixels(digits.of_class(5)).double()
    torch.testing.assert_close(found[0].double(), (pixels / 127.5 - 1).mean(0), rtol=0, atol=1e-6)
