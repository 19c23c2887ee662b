"""Tests of ConvNet."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


# Counted by running VICO-UoE/DatasetCondensation's ConvNet; d6 with vimar-gu/MinimaxDiffusion's ConvNet-6.
@pytest.mark.parametrize(
    ("spec", "channels", "size", "count", "width"),
    [
        ("convnet-d3", 3, 32, 320_010, 2048),
        ("convnet", 3, 32, 320_010, 2048),
        ("convnet-d3", 1, 28, 317_706, 2048),
        ("convnet-d3-bn", 3, 32, 320_010, 2048),
        ("convnet-d3-gn", 3, 32, 320_010, 2048),
        ("convnet-d3-ln", 3, 32, 663_306, 2048),
        ("convnet-d3-none", 3, 32, 319_242, 2048),
        ("convnet-d6", 3, 224, 754_570, 1152),
    ],
)
def test_parameter_counts_are_those_of_the_references(spec, channels, size, count, width, build_without_values):
    network = build_without_values(spec, channels, size)
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.classifier.in_features == width


def test_convnet_6_takes_224_px_images(generator):
    network = make_network("convnet-d6", InputShape(3, 224, 10), generator)
    with torch.no_grad():
        assert network(torch.randn(1, 3, 224, 224, generator=generator)).isfinite().all()


def test_output_follows_the_formula(generator):
    network = make_network("convnet-d2-w4", InputShape(3, 8, 5), generator)
    images = torch.randn(2, 3, 8, 8, generator=generator)
    maps = images
    for conv in (m for m in network.modules() if isinstance(m, nn.Conv2d)):
        maps = nn.functional.conv2d(maps, conv.weight, conv.bias, padding=1)
        mean, variance = maps.mean((2, 3), keepdim=True), maps.var((2, 3), unbiased=False, keepdim=True)
        maps = ((maps - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
        maps = maps.unflatten(3, (-1, 2)).mean(4).unflatten(2, (-1, 2)).mean(3)
    torch.testing.assert_close(network.embed(images), maps.reshape(2, 16))
    torch.testing.assert_close(
        network(images), maps.reshape(2, 16) @ network.classifier.weight.T + network.classifier.bias
    )


@settings(deadline=None, max_examples=60)
@given(
    depth=st.integers(1, 4),
    norm=st.sampled_from(("in", "bn", "ln", "gn", "none")),
    activation=st.sampled_from(("relu", "sigmoid", "leaky")),
    pooling=st.sampled_from(("avg", "max", "nopool")),
    channels=st.sampled_from((1, 3)),
    size=st.integers(8, 33),
)
def test_every_variant_fits_or_says_why_not(depth, norm, activation, pooling, channels, size):
    spec = f"convnet-d{depth}-w4-{norm}-{activation}-{pooling}"
    start = 32 if (channels, size) == (1, 28) else size
    if pooling != "nopool" and start < 2**depth:
        with pytest.raises(BadInputError, match=f"at least {2**depth} px, got {size}"):
            make_network(spec, InputShape(channels, size, 3), torch.Generator())
        return
    network = make_network(spec, InputShape(channels, size, 3), torch.Generator())
    side = start if pooling == "nopool" else start >> depth
    assert network.embed(torch.zeros(2, channels, size, size)).shape == (2, 4 * side * side)
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 3)


def test_group_norm_refuses_a_width_it_cannot_split(generator):
    with pytest.raises(BadInputError, match="4 groups, got width 6"):
        make_network("convnet-w6-gn", InputShape(3, 32, 10), generator)


@pytest.mark.parametrize("spec", ["convnet-d0", "convnet-w0", "convnet-x", "convnet-d", "convnet-3", "convnet-d3-"])
def test_malformed_variants_are_refused_in_one_line(spec, generator):
    with pytest.raises(BadInputError, match="network convnet has no option") as caught:
        make_network(spec, InputShape(3, 32, 10), generator)
    assert "\n" not in str(caught.value)
