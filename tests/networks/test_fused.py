"""Tests of the fused block: its formula and derivatives against the layers, and which layers it takes the place of."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad

from ddbench.network import InputShape, make_network
from ddbench.networks._fused import NormReluPool, fuse

SHAPES = [(3, 5, 6, 6), (2, 3, 7, 5), (4, 2, 2, 2), (1, 4, 3, 8)]
# Networks with the layers, on sizes that the first conv pads (28 px) and pooling rounds down.
FUSED = [("convnet-d3-w8", 1, 28), ("convnet-d2-w4", 3, 11), ("convnet-d1-w4", 3, 8)]
UNFUSED = [
    *[f"convnet-d2-w8-{norm}" for norm in ("bn", "ln", "gn", "none")],
    *[f"convnet-d2-w8-{other}" for other in ("sigmoid", "leaky", "max", "nopool")],
    "mlp",
]


def double_norm(channels, generator):
    norm = nn.GroupNorm(channels, channels).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(channels, generator=generator))
    return norm


def derivatives(layers, maps, direction):
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    parameters = list(layers.parameters())
    pooled = layers(maps)
    return pooled.detach(), *torch.autograd.grad((pooled * direction).sum(), (maps, *parameters))


def loss(network, parameters, images):
    return functional_call(network, parameters, (images,)).square().mean()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_derivatives_are_those_of_the_layers(shape, memory_format, generator):
    norm = double_norm(shape[1], generator)
    maps = 2 + 3 * torch.randn(*shape, dtype=torch.float64, generator=generator)
    maps = maps.contiguous(memory_format=memory_format)
    layers = nn.Sequential(norm, nn.ReLU(), nn.AvgPool2d(2))
    direction = torch.randn(layers(maps).shape, dtype=torch.float64, generator=generator)
    expected = derivatives(layers, maps, direction)
    torch.testing.assert_close(derivatives(NormReluPool(norm), maps, direction), expected, rtol=1e-10, atol=1e-10)
    singles = (layers.float(), maps.float(), direction.float())
    found = derivatives(NormReluPool(norm), *singles[1:])
    torch.testing.assert_close(found, derivatives(*singles), rtol=1e-4, atol=1e-5)


def test_second_derivatives_are_right(generator):
    norm = double_norm(3, generator)
    maps = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=generator).requires_grad_()

    def run(maps, weight, bias):
        return functional_call(NormReluPool(norm), {"weight": weight, "bias": bias}, (maps,))

    assert torch.autograd.gradcheck(run, (maps, norm.weight, norm.bias))
    assert torch.autograd.gradgradcheck(run, (maps, norm.weight, norm.bias))


@pytest.mark.parametrize(("spec", "channels", "side"), FUSED)
def test_a_fused_network_has_the_outputs_and_gradients_of_the_plain_one(spec, channels, side, generator):
    plain = make_network(spec, InputShape(channels, side, 5), generator).double()
    fused = plain.fused()
    parameters = {name: parameter.detach() for name, parameter in plain.named_parameters()}
    images = torch.randn(3, channels, side, side, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(fused(images), plain(images), rtol=1e-10, atol=1e-10)

    def derivatives(network):
        first = grad(lambda given: loss(network, given, images))(parameters)
        return first, grad(
            lambda given: sum(g.square().sum() for g in grad(loss, 1)(network, parameters, given).values())
        )(images)

    torch.testing.assert_close(derivatives(fused), derivatives(plain), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("spec", "channels", "side"), FUSED)
def test_parameters_are_shared_under_their_names_and_the_plain_network_stays(spec, channels, side, generator):
    plain = make_network(spec, InputShape(channels, side, 5), generator)
    before = str(plain)
    fused = plain.fused()
    expected = {name: id(parameter) for name, parameter in plain.named_parameters()}
    assert {name: id(parameter) for name, parameter in fused.named_parameters()} == expected
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert str(plain) == before
    depth = sum(isinstance(module, nn.Conv2d) for module in plain.modules())
    assert sum(isinstance(module, NormReluPool) for module in fused.modules()) == depth


@pytest.mark.parametrize("spec", UNFUSED)
def test_other_layers_keep_their_path(spec, generator):
    plain = make_network(spec, InputShape(3, 8, 5), generator)
    assert str(plain.fused()) == str(plain)
    assert plain.native() is plain


@pytest.mark.parametrize(
    "layers",
    [
        (nn.GroupNorm(4, 8), nn.ReLU(), nn.AvgPool2d(2)),
        (nn.GroupNorm(8, 8, affine=False), nn.ReLU(), nn.AvgPool2d(2)),
        (nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(3)),
        (nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)),
        (nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2, padding=1)),
        (nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2, stride=1)),
        (nn.GroupNorm(8, 8), nn.AvgPool2d(2), nn.ReLU()),
        (nn.GroupNorm(8, 8), nn.ReLU()),
    ],
)
def test_only_the_three_layers_it_computes_are_replaced(layers):
    plain = nn.Sequential(*layers)
    assert str(fuse(plain)) == str(plain)


@pytest.mark.slow
def test_compiled_it_is_the_layers_to_1e_10_in_double_precision(generator):
    plain = make_network("convnet-d2-w8", InputShape(3, 10, 5), generator).double()
    fused, parameters = plain.fused(), {name: parameter.detach() for name, parameter in plain.named_parameters()}
    images = torch.randn(4, 3, 10, 10, dtype=torch.float64, generator=generator)
    labels = torch.arange(4)

    def gradient(network, parameters):
        return grad(lambda given: F.cross_entropy(functional_call(network, given, (images,)), labels))(parameters)

    compiled = torch.compile(lambda given: gradient(fused, given), dynamic=False)
    torch.testing.assert_close(compiled(parameters), gradient(plain, parameters), rtol=1e-10, atol=1e-10)
