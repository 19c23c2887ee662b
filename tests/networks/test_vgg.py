"""Tests of VGG."""

import pytest
import torch
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


# Counted by running VICO-UoE/DatasetCondensation's VGG.
@pytest.mark.parametrize(
    ("spec", "channels", "size", "count"),
    [
        ("vgg11", 3, 32, 9_231_114),
        ("vgg11-bn", 1, 28, 9_229_962),
        ("vgg13-in", 3, 32, 9_416_010),
        ("vgg16", 3, 32, 14_728_266),
        ("vgg19", 3, 32, 20_040_522),
    ],
)
def test_parameter_counts_are_those_of_the_reference(spec, channels, size, count, build_without_values):
    network = build_without_values(spec, channels, size)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("spec", "norm"), [("vgg11", nn.GroupNorm), ("vgg11-in", nn.GroupNorm), ("vgg11-bn", nn.BatchNorm2d)]
)
def test_norm_is_instance_norm_unless_batch_norm_is_asked_for(spec, norm, build_without_values):
    network = build_without_values(spec, 3, 32)
    assert sum(isinstance(module, norm) for module in network.modules()) == 8
    assert sum(isinstance(module, (nn.GroupNorm, nn.BatchNorm2d)) for module in network.modules()) == 8


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 64)])
def test_embedding_is_512_wide_at_every_size(channels, size, generator):
    network = make_network("vgg11", InputShape(channels, size, 10), generator)
    images = torch.randn(2, channels, size, size, generator=generator)
    assert network.embed(images).shape == (2, 512)
    assert network(images).shape == (2, 10)


@pytest.mark.parametrize(("channels", "size"), [(3, 28), (1, 8), (3, 31)])
def test_too_small_images_are_refused(channels, size, generator):
    with pytest.raises(BadInputError, match=f"vgg11 needs images of at least 32 px, got {size}"):
        make_network("vgg11", InputShape(channels, size, 10), generator)


def test_unknown_depth_names_the_known_ones(generator):
    with pytest.raises(BadInputError, match="vgg has the depths 11, 13, 16, 19, got 12"):
        make_network("vgg12", InputShape(3, 32, 10), generator)
