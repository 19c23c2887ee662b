"""Tests of AlexNet."""

import pytest
import torch
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


@pytest.mark.parametrize(("channels", "size", "count"), [(3, 32, 1_872_202), (1, 28, 1_865_802)])
def test_parameter_counts_are_those_of_the_reference(channels, size, count, generator):
    # Counted by running VICO-UoE/DatasetCondensation's AlexNet.
    network = make_network("alexnet", InputShape(channels, size, 10), generator)
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.embed(torch.zeros(1, channels, size, size)).shape == (1, 192 * 4 * 4)


@pytest.mark.parametrize(("channels", "size", "side"), [(1, 8, 1), (3, 8, 1), (3, 30, 3), (3, 64, 8)])
def test_other_sizes_fit(channels, size, side, generator):
    network = make_network("alexnet", InputShape(channels, size, 10), generator)
    assert network.embed(torch.zeros(1, channels, size, size)).shape == (1, 192 * side * side)


@pytest.mark.parametrize(("spec", "norm"), [("alexnet-bn", nn.BatchNorm2d), ("alexnet-in", nn.GroupNorm)])
def test_variants_put_a_norm_after_each_conv(spec, norm, generator):
    network = make_network(spec, InputShape(1, 8, 10), generator)
    assert [m.weight.numel() for m in network.modules() if isinstance(m, norm)] == [128, 192, 256, 192, 192]
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_too_small_images_are_refused(generator):
    with pytest.raises(BadInputError, match="at least 8 px, got 7"):
        make_network("alexnet", InputShape(3, 7, 10), generator)


def test_unknown_variant_is_refused(generator):
    with pytest.raises(BadInputError, match="network alexnet has no option 'ln'; known options: none, bn, in"):
        make_network("alexnet-ln", InputShape(3, 32, 10), generator)
