"""Tests of several networks that answer as one."""

import torch

from ddbench.network import InputShape, make_network
from ddbench.students.averaged import Averaged
from tests._weights import lively

SHAPE = InputShape(3, 16, 5)


def test_logits_are_the_mean_and_come_from_the_embedding(generator):
    names = ("convnet-d2-w8-bn", "mlp", "convnet-d1-w4")
    networks = [lively(make_network(name, SHAPE, generator)).double() for name in names]
    images = torch.randn(4, 3, 16, 16, generator=generator).double()
    averaged = Averaged(networks, SHAPE).eval()
    expected = sum(network(images) for network in networks) / 3
    torch.testing.assert_close(averaged(images), expected)
    widths = sum(network.embed(images).shape[1] for network in networks)
    assert averaged.embed(images).shape == (4, widths)


def test_it_leaves_statistics_as_they_are(generator):
    network = make_network("convnet-d1-w8-bn", SHAPE, generator).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Averaged([network], SHAPE)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
