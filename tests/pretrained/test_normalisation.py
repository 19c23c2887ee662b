"""Tests of networks that were trained on images normalised otherwise."""

import torch

from ddbench.network import InputShape, make_network
from ddbench.pretrained.normalisation import Renormalised, renormalised
from tests._weights import IMAGENET, OTHER, lively, toy_subset


def test_a_network_sees_the_pixels_normalised_as_it_was_trained(generator):
    real = toy_subset(normalised=OTHER)
    network = lively(make_network("convnet-d1-w8-bn", InputShape.of(real.info), generator)).double()
    wrapped = renormalised(network, real.info, *IMAGENET).double()
    pixels = real.train.images.double() / 255
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in IMAGENET)
    own_mean, own_std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in OTHER)
    expected = network((pixels - mean) / std)
    found = wrapped((pixels - own_mean) / own_std)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(wrapped.classify(wrapped.embed((pixels - own_mean) / own_std)), found)
    assert not torch.allclose(network((pixels - own_mean) / own_std), expected, atol=1e-2)


def test_where_nothing_differs_it_is_the_network_itself(generator):
    real = toy_subset()
    network = make_network("convnet-d1-w8-bn", InputShape.of(real.info), generator)
    assert renormalised(network, real.info, *IMAGENET) is network


def test_its_constants_are_no_parameters(generator):
    real = toy_subset(normalised=OTHER)
    network = make_network("convnet-d1-w8-bn", InputShape.of(real.info), generator)
    wrapped = Renormalised(network, real.info, *IMAGENET)
    assert wrapped.state_dict().keys() == {f"network.{name}" for name in network.state_dict()}
