"""Tests of ResNetAP."""

import pytest
import torch
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network
from ddbench.networks.resnet_ap import ResNetAP


# Counted by running vimar-gu/MinimaxDiffusion's ResNetAP; w32 is what it builds for data sets called cifar.
@pytest.mark.parametrize(
    ("spec", "channels", "size", "count"),
    [
        ("resnet_ap10", 3, 32, 4_903_242),
        ("resnet_ap10-w32", 3, 32, 1_228_970),
        ("resnet_ap10", 3, 128, 4_903_242),
        ("resnet_ap10", 3, 224, 4_910_922),
        ("resnet_ap10-bn", 1, 112, 4_902_090),
    ],
)
def test_parameter_counts_are_those_of_the_reference(spec, channels, size, count, build_without_values):
    network = build_without_values(spec, channels, size)
    assert isinstance(network, ResNetAP)
    assert sum(p.numel() for p in network.parameters()) == count


def test_takes_224_px_images(generator):
    network = make_network("resnet_ap10", InputShape(3, 224, 10), generator)
    assert network.stem == "7x7 conv of stride 1, 4x4 average pooling"
    with torch.no_grad():
        assert network(torch.randn(1, 3, 224, 224, generator=generator)).isfinite().all()


@pytest.mark.parametrize(
    ("spec", "channels", "size"), [("resnet_ap10-bn", 1, 8), ("resnet_ap10-w8", 3, 16), ("resnet_ap18-w8", 3, 80)]
)
def test_embedding_is_eight_times_the_width(spec, channels, size, generator):
    network = make_network(spec, InputShape(channels, size, 10), generator)
    width = 8 if "w8" in spec else 64
    assert network.embed(torch.zeros(2, channels, size, size)).shape == (2, 8 * width)


def test_nothing_is_strided_and_convs_start_normal(generator):
    network = make_network("resnet_ap10", InputShape(3, 224, 10), generator)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert {conv.stride for conv in convs} == {(1, 1)}
    for conv in convs:
        expected = (2 / (conv.kernel_size[0] ** 2 * conv.out_channels)) ** 0.5
        assert conv.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_differs_from_the_other_average_pooling_design(build_without_values):
    networks = (build_without_values(spec, 3, 32) for spec in ("resnet_ap10", "resnet10-ap"))
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts[1] - counts[0] == 10 * 512 * 15


def test_too_small_images_are_refused(generator):
    with pytest.raises(BadInputError, match="resnet_ap10 needs images of at least 8 px, got 7"):
        make_network("resnet_ap10", InputShape(3, 7, 10), generator)
    with pytest.raises(BadInputError, match="instance norm"):
        make_network("resnet_ap10", InputShape(1, 8, 10), generator)


def test_unknown_depth_and_option_are_refused(generator):
    with pytest.raises(BadInputError, match="resnet_ap has the depths 10, 18, 34, got 11"):
        make_network("resnet_ap11", InputShape(3, 32, 10), generator)
    with pytest.raises(BadInputError, match="network resnet_ap has no option 'ln'"):
        make_network("resnet_ap10-ln", InputShape(3, 32, 10), generator)
