"""Tests of the MLP."""

import pytest
import torch
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


@pytest.mark.parametrize(("channels", "size", "count"), [(3, 32, 411_146), (1, 28, 118_282)])
def test_parameter_counts_are_those_of_the_reference(channels, size, count, generator):
    # Counted by running VICO-UoE/DatasetCondensation's MLP.
    network = make_network("mlp", InputShape(channels, size, 10), generator)
    assert sum(p.numel() for p in network.parameters()) == count


def test_output_follows_the_formula(generator):
    network = make_network("mlp", InputShape(1, 8, 10), generator)
    first, second, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    images = torch.randn(2, 1, 8, 8, generator=generator)
    hidden = (images.reshape(2, 64) @ first.weight.T + first.bias).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(network.embed(images), hidden)
    torch.testing.assert_close(network(images), hidden @ last.weight.T + last.bias)


def test_width_is_an_option(generator):
    network = make_network("mlp-w16", InputShape(3, 64, 5), generator)
    assert network.embed(torch.zeros(2, 3, 64, 64)).shape == (2, 16)


def test_unknown_option_is_named(generator):
    with pytest.raises(BadInputError, match=r"network mlp has no option 'bn'; known options: w<number>"):
        make_network("mlp-bn", InputShape(3, 32, 10), generator)
