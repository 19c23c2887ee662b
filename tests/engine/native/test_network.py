"""Tests of native networks: which layers become blocks, with what shared, and the outputs of the plain network."""

import pytest
import torch
from torch import nn

from ddbench.engine.native import network as _native
from ddbench.engine.native.network import NativeBlock, with_native_blocks
from ddbench.network import InputShape, make_network
from tests.engine.native._layers import FORMS, block_of, derivatives, drawn


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("spec", "channels", "side", "blocks"),
    [
        ("convnet-d3-w8", 1, 28, 3),
        ("convnet-d2-w20", 3, 11, 2),
        ("convnet-d2-w8-max", 3, 11, 2),
        ("convnet-d2-w8-nopool", 3, 11, 2),
        ("resnet18", 3, 32, 20),
        ("resnet10-ap", 3, 17, 12),
        ("resnet_ap10-w8", 3, 66, 12),
    ],
)
def test_a_native_network_shares_parameters_and_has_the_outputs_of_the_plain_one(
    spec, channels, side, blocks, generator
):
    plain = make_network(spec, InputShape(channels, side, 5), generator).double()
    before = str(plain)
    native = plain.native()
    assert sum(isinstance(module, NativeBlock) for module in native.modules()) == blocks
    assert not any(isinstance(module, nn.GroupNorm) for module in outside_blocks(native))
    pairs = zip(native.parameters(), plain.parameters(), strict=True)
    assert all(one is other for one, other in pairs)  # in the same order
    images = torch.randn(3, channels, side, side, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(native(images), plain(images), rtol=1e-10, atol=1e-10)
    assert str(plain) == before


def outside_blocks(network):
    inside = {id(part) for block in network.modules() if isinstance(block, NativeBlock) for part in block.modules()}
    return [module for module in network.modules() if id(module) not in inside]


class Halved(nn.Conv2d):
    """A convolution of another kind, such as one with standardised weights."""

    def forward(self, images):
        return super().forward(images) / 2


def hooked(layer):
    layer.register_forward_hook(lambda module, inputs, output: None)
    return layer


def conv_of(**options):
    return nn.Conv2d(3, 8, **{"kernel_size": 3, **options})


@pytest.mark.compiler
@pytest.mark.parametrize(
    "layers",
    [
        [nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2)],
        [conv_of(padding_mode="reflect", padding=1), nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2)],
        [conv_of(padding="same"), nn.GroupNorm(8, 8), nn.ReLU()],
        [nn.Conv2d(4, 8, 3, groups=2), nn.GroupNorm(8, 8)],
        [conv_of(), nn.GroupNorm(4, 8), nn.ReLU(), nn.AvgPool2d(2)],
        [conv_of(), nn.GroupNorm(8, 8, affine=False), nn.ReLU(), nn.AvgPool2d(2)],
        [conv_of(), nn.GroupNorm(4, 4), nn.ReLU()],
        [conv_of(), nn.BatchNorm2d(8), nn.ReLU()],
        [conv_of()],
        [conv_of(), nn.ReLU(), nn.GroupNorm(8, 8)],
        [conv_of(), nn.AvgPool2d(2), nn.GroupNorm(8, 8)],
        [conv_of(kernel_size=1, stride=2), nn.AvgPool2d(2), nn.GroupNorm(8, 8)],
        [conv_of(kernel_size=1, padding=1), nn.AvgPool2d(2), nn.GroupNorm(8, 8)],
        [conv_of(kernel_size=1), nn.AvgPool2d(3), nn.GroupNorm(8, 8)],
        [conv_of(kernel_size=1), nn.AvgPool2d(2), nn.GroupNorm(4, 8)],
        [Halved(3, 8, 3), nn.GroupNorm(8, 8), nn.ReLU()],
        [hooked(conv_of()), nn.GroupNorm(8, 8), nn.ReLU()],
        [conv_of(), hooked(nn.GroupNorm(8, 8)), nn.ReLU()],
    ],
)
def test_layers_that_it_does_not_compute_stay(layers):
    layers = nn.Sequential(*layers)
    assert with_native_blocks(layers) is layers


@pytest.mark.compiler
@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(3),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d(2, stride=1),
        nn.AvgPool2d(2, divisor_override=3),
        nn.MaxPool2d(2),
    ],
)
def test_other_pooling_follows_a_block_that_does_not_pool(pool, generator):
    layers = nn.Sequential(*block_of(3, 8)[:3], pool)
    native = with_native_blocks(layers)
    assert isinstance(native[0], NativeBlock)
    assert type(native[3]) is type(pool)
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(native(images), layers(images), rtol=1e-10, atol=1e-10)


@pytest.mark.compiler
def test_a_relu_with_hooks_follows_a_block_without_one(generator):
    layers = nn.Sequential(*block_of(3, 8)[:2], hooked(nn.ReLU()))
    native = with_native_blocks(layers)
    assert [type(layer) for layer in native] == [NativeBlock, nn.Identity, nn.ReLU]


@pytest.mark.compiler
@pytest.mark.parametrize("form", FORMS)
def test_what_follows_a_block_may_change_its_maps_in_place(form, generator):
    layers = block_of(3, 8, form=form)
    native = NativeBlock(layers[0], layers[1], **FORMS[form])
    images, direction = drawn((2, 3, 6, 6), 8, generator, form=form)
    inputs = (images.requires_grad_(), *layers.parameters())
    found = torch.autograd.grad((torch.tanh_(native(images)) * direction).sum(), inputs)
    expected = torch.autograd.grad((torch.tanh(layers(images)) * direction).sum(), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.compiler
@pytest.mark.parametrize("bias", [True, False])
def test_a_pooled_1x1_convolution_is_given_pooled_images(bias, generator):
    layers = nn.Sequential(nn.Conv2d(3, 8, 1, bias=bias), nn.Identity(), nn.AvgPool2d(2), nn.GroupNorm(8, 8)).double()
    native = with_native_blocks(layers)
    assert [type(layer) for layer in native] == [nn.AvgPool2d, nn.Identity, NativeBlock, nn.Identity]
    images, direction = drawn((2, 3, 9, 8), 8, generator)
    found, expected = (derivatives(form, images, direction) for form in (native, layers))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.compiler
@pytest.mark.parametrize(
    "spec",
    [
        "convnet-d2-w8-sigmoid",
        "convnet-d2-w8-leaky",
        "convnet-d2-w8-bn",
        "convnet-d2-w8-ln",
        "convnet-d2-w8-gn",
        "convnet-d2-w8-none",
        "resnet10-bn",
    ],
)
def test_networks_with_other_norms_or_activations_have_no_native_form(spec, generator):
    plain = make_network(spec, InputShape(3, 8, 5), generator)
    assert plain.native() is plain


def test_a_machine_that_cannot_compile_runs_the_network_as_it_is(generator, monkeypatch):
    monkeypatch.setattr(_native, "native_passes", lambda: None)
    plain = make_network("convnet-d1-w8", InputShape(3, 8, 5), generator)
    assert plain.native() is plain
