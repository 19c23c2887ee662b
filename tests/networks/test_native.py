"""Tests of the native block: its formula and gradient against the layers, in every dtype, and which networks have it."""

import pytest
import torch
from torch import nn

from ddbench.network import InputShape, make_network
from ddbench.networks import convnet
from ddbench.networks._native import NativeNormReluPool

# Channels in wide blocks (64), narrow ones (16) and singles; odd sides; one place to pool.
SHAPES = [(3, 5, 6, 6), (2, 3, 7, 5), (4, 2, 2, 2), (1, 4, 3, 8), (2, 128, 8, 8), (3, 117, 5, 6)]


def layers_of(channels, dtype, generator):
    norm = nn.GroupNorm(channels, channels).to(dtype)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(channels, generator=generator))
    return nn.Sequential(norm, nn.ReLU(), nn.AvgPool2d(2))


def derivatives(layers, maps, direction):
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    pooled = layers(maps)
    return pooled.detach(), *torch.autograd.grad((pooled * direction).sum(), (maps, *layers.parameters()))


def both(shape, generator, dtype=torch.float64, mean=2, memory_format=torch.channels_last):
    """Derivatives of the layers in float64, and of the native block in `dtype`, on equal maps."""
    layers = layers_of(shape[1], torch.float64, generator)
    maps = (mean + 3 * torch.randn(*shape, dtype=torch.float64, generator=generator)).to(dtype)
    maps = maps.contiguous(memory_format=memory_format)
    direction = torch.randn(layers(maps.double()).shape, generator=generator).to(dtype)
    expected = derivatives(layers, maps.double(), direction.double())
    native = NativeNormReluPool(layers[0].float() if dtype != torch.float64 else layers[0])
    return derivatives(native, maps, direction), expected


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_layers(shape, memory_format, generator):
    found, expected = both(shape, generator, memory_format=memory_format)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert found[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(torch.float32, 1e-4, 1e-5), (torch.bfloat16, 2e-2, 2e-2)])
@pytest.mark.parametrize("shape", [(2, 128, 8, 8), (3, 117, 5, 6)])
def test_lower_precisions_are_right_to_their_digits(shape, dtype, rtol, atol, generator):
    found, expected = both(shape, generator, dtype)
    scale = [max(1.0, float(part.abs().max())) for part in expected]
    for part, wanted, size in zip(found, expected, scale, strict=True):
        torch.testing.assert_close(part.double() / size, wanted / size, rtol=rtol, atol=atol)
    assert (found[0].dtype, found[1].dtype, found[2].dtype) == (dtype, dtype, torch.float32)


def test_a_mean_far_from_zero_costs_no_digits(generator):
    found, expected = both((2, 16, 32, 32), generator, torch.float32, mean=1000)
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-3, atol=1e-3)


def test_maps_without_spread_and_values_that_are_no_numbers(generator):
    layers = layers_of(20, torch.float32, generator)
    native = NativeNormReluPool(layers[0])
    flat = torch.full((2, 20, 4, 4), 7.0)
    torch.testing.assert_close(native(flat), layers(flat), rtol=1e-5, atol=1e-6)
    flat[0, 3, 1, 1] = float("nan")
    assert native(flat)[0, 3].isnan().all()
    assert native(flat)[1].isfinite().all()


def test_the_number_of_threads_changes_no_number(generator):
    layers = layers_of(40, torch.float32, generator)
    maps, direction = torch.randn(5, 40, 6, 6, generator=generator), torch.randn(5, 40, 3, 3, generator=generator)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(derivatives(NativeNormReluPool(layers[0]), maps, direction))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, many) for one, many in zip(*found, strict=True))


@pytest.mark.parametrize(("spec", "channels", "side"), [("convnet-d3-w8", 1, 28), ("convnet-d2-w20", 3, 11)])
def test_a_native_network_has_the_outputs_and_parameters_of_the_plain_one(spec, channels, side, generator):
    plain = make_network(spec, InputShape(channels, side, 5), generator).double()
    native = plain.native()
    assert sum(isinstance(module, NativeNormReluPool) for module in native.modules()) == int(spec[9])
    assert [(name, id(p)) for name, p in native.named_parameters()] == [
        (name, id(p)) for name, p in plain.named_parameters()
    ]
    images = torch.randn(3, channels, side, side, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(native(images), plain(images), rtol=1e-10, atol=1e-10)


def test_a_machine_that_cannot_compile_runs_the_network_as_it_is(generator, monkeypatch):
    monkeypatch.setattr(convnet, "native_passes", lambda: None)
    plain = make_network("convnet-d1-w8", InputShape(3, 8, 5), generator)
    assert plain.native() is plain
