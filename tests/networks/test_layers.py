"""Tests of the layers that families share."""

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.network import InputShape
from ddbench.networks._layers import NORMS, ResidualBlock, first_padding, make_norm


@pytest.mark.parametrize("norm", NORMS)
def test_norms_keep_the_shape_and_hold_no_state_but_batch_norm(norm, generator):
    layer = make_norm(norm, 8, 4)
    maps = torch.randn(2, 8, 4, 4, generator=generator)
    assert layer(maps).shape == maps.shape
    assert bool(list(layer.buffers())) == (norm == "bn")


def test_instance_norm_normalises_each_channel_of_each_image(generator):
    maps = make_norm("in", 6, 5)(3 + 2 * torch.randn(4, 6, 5, 5, generator=generator))
    torch.testing.assert_close(maps.mean((2, 3)), torch.zeros(4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.var((2, 3), unbiased=False), torch.ones(4, 6), atol=1e-4, rtol=0)


def test_instance_norm_would_give_every_image_the_same_1x1_maps(generator):
    # Why make_norm refuses them.
    maps = NORMS["in"](6, 1)(torch.randn(4, 6, 1, 1, generator=generator))
    assert maps.std(0).max() < 1e-3
    with pytest.raises(BadInputError, match="at least 2x2, got 1x1"):
        make_norm("in", 6, 1)


@pytest.mark.parametrize(
    ("kernel", "channels", "size", "padding"),
    [(3, 1, 28, 3), (5, 1, 28, 4), (3, 3, 28, 1), (3, 1, 32, 1), (5, 3, 32, 2)],
)
def test_only_one_channel_28_px_images_are_padded_to_32(kernel, channels, size, padding):
    assert first_padding(kernel, InputShape(channels, size, 10)) == padding


@pytest.mark.parametrize(("pooled", "side"), [(True, 2), (False, 3)])
def test_odd_maps_are_rounded_down_by_pooling_and_up_by_strides(pooled, side, generator):
    block = ResidualBlock(4, 8, side, 2, "bn", pooled=pooled)
    assert block(torch.randn(2, 4, 5, 5, generator=generator)).shape == (2, 8, side, side)


def test_a_block_that_keeps_its_shape_has_a_bare_shortcut(generator):
    block = ResidualBlock(4, 4, 5, 1, "in", pooled=False)
    maps = torch.randn(2, 4, 5, 5, generator=generator)
    torch.testing.assert_close(block(maps), (block.branch(maps) + maps).clamp(min=0))
