"""Tests of ResNet and its average-pooling variant."""

import pytest
import torch
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


# Up to 64 px counted by running VICO-UoE/DatasetCondensation's ResNet18, ResNet34 and ResNet18BN_AP; above with the
# ResNet of snu-mllab/Efficient-Dataset-Condensation.
@pytest.mark.parametrize(
    ("spec", "channels", "size", "count"),
    [
        ("resnet18", 3, 32, 11_173_962),
        ("resnet18-in", 3, 32, 11_173_962),
        ("resnet18-bn", 1, 28, 11_172_810),
        ("resnet18-bn-ap", 3, 32, 11_250_762),
        ("resnet18-bn-ap", 1, 28, 11_213_770),
        ("resnet34", 3, 32, 21_282_122),
        ("resnet18-in", 3, 128, 11_173_962),
        ("resnet18-in", 3, 224, 11_181_642),
    ],
)
def test_parameter_counts_are_those_of_the_references(spec, channels, size, count, build_without_values):
    network = build_without_values(spec, channels, size)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("spec", "channels", "size", "width"),
    [
        ("resnet18-bn", 3, 32, 512),
        ("resnet10-bn", 1, 8, 512),
        ("resnet10-in", 1, 9, 512),
        ("resnet10", 3, 64, 512),
        ("resnet10", 3, 129, 512),
        ("resnet10-bn-ap", 1, 8, 512),
        ("resnet10-bn-ap", 1, 28, 512 * 9),
        ("resnet10-ap", 3, 32, 512 * 16),
    ],
)
def test_embedding_width_follows_the_design(spec, channels, size, width, generator):
    network = make_network(spec, InputShape(channels, size, 7), generator)
    images = torch.randn(2, channels, size, size, generator=generator)
    assert network.embed(images).shape == (2, width)
    assert network(images).shape == (2, 7)


def test_average_pooling_replaces_every_strided_conv(build_without_values):
    strided, pooled = (build_without_values(spec, 3, 32) for spec in ("resnet18", "resnet18-ap"))

    def strides(network):
        return [m.stride for m in network.modules() if isinstance(m, nn.Conv2d)]

    assert strides(strided).count((2, 2)) == 6
    assert strides(pooled).count((2, 2)) == 0
    assert sum(isinstance(m, nn.AvgPool2d) for m in pooled.modules()) == 3


@pytest.mark.parametrize(
    ("size", "stem"),
    [
        (64, "3x3 conv of stride 1"),
        (128, "3x3 conv of stride 1, 3x3 max pooling of stride 2"),
        (224, "7x7 conv of stride 2, 3x3 max pooling of stride 2"),
    ],
)
def test_stem_depends_on_the_size_and_says_so(size, stem, build_without_values):
    assert build_without_values("resnet18", 3, size).stem == stem


def test_convs_start_as_in_the_reference_of_their_size(generator):
    weights = {}
    for size in (32, 224):
        network = make_network("resnet10", InputShape(3, size, 10), generator)
        weights[size] = network.stages[3].branch[4].weight  # 512 -> 512 channels, 3x3
    # torch's default is uniform in +-1/sqrt(fan in); the other is normal with variance 2 / (9 * 512).
    assert weights[32].abs().max() <= (9 * 512) ** -0.5
    assert weights[224].std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)


def test_instance_norm_refuses_to_erase_1x1_maps(generator):
    with pytest.raises(BadInputError, match=r"instance norm needs feature maps of at least 2x2.*batch norm"):
        make_network("resnet18", InputShape(1, 8, 10), generator)


@pytest.mark.parametrize(("size", "advice"), [(7, "use resnet18"), (65, "use resnet_ap18")])
def test_average_pooling_refuses_sizes_it_is_not_made_for(size, advice, generator):
    with pytest.raises(BadInputError, match=f"8 to 64 px, got {size}; {advice}$"):
        make_network("resnet18-bn-ap", InputShape(3, size, 10), generator)


def test_unknown_depth_names_the_known_ones(generator):
    with pytest.raises(BadInputError, match="resnet has the depths 10, 18, 34, got 50"):
        make_network("resnet50", InputShape(3, 32, 10), generator)
