"""Tests of the arithmetic of `dc` and `dsa`: distances against loops, gradients against plain graphs."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.methods._gradient_matching.gradients import (
    EPS,
    NetworkGradients,
    gradient_distance,
    in_channels_last,
    layer_distance,
)
from ddbench.network import InputShape, Network, make_network

COLOUR = InputShape(3, 8, 3)
SPECS = ["convnet-d2-w4", "convnet-d1-w4-none", "convnet-d2-w4-ln-max", "mlp"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_gradients(seed: int) -> dict[str, Tensor]:
    shapes = {"conv": (5, 3, 2, 2), "conv.bias": (5,), "norm": (4, 3, 3), "linear": (6, 7), "linear.bias": (6,)}
    draws = seeded(seed)
    return {name: torch.randn(*shape, dtype=torch.float64, generator=draws) * 1e-2 for name, shape in shapes.items()}


def naive_distance(real: dict[str, Tensor], synthetic: dict[str, Tensor]) -> float:
    """Layer by layer, neuron by neuron, number by number."""
    total = 0.0
    for name, gradient in real.items():
        if gradient.ndim == 1:
            continue
        for neuron in range(len(gradient)):
            a, b = gradient[neuron].flatten().tolist(), synthetic[name][neuron].flatten().tolist()
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            total += 1 - dot / (norms + 1e-6)
    return total


def double_network(spec: str, seed: int = 4) -> tuple[Network, dict[str, Tensor]]:
    network = make_network(spec, COLOUR, seeded(seed)).double()
    return network, {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def some_images(count: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, 8, 8, dtype=torch.float64, generator=seeded(seed))
    return images, torch.randint(3, (count,), generator=seeded(seed))


def plain_gradient(
    network: Network, images: Tensor, labels: Tensor, *, create_graph: bool = False
) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    loss = F.cross_entropy(network(images), labels)
    return dict(zip(names, torch.autograd.grad(loss, parameters, create_graph=create_graph), strict=True))


def test_the_distance_equals_a_loop_over_layers_and_neurons():
    real, synthetic = random_gradients(1), random_gradients(2)
    assert gradient_distance(real, synthetic).item() == pytest.approx(naive_distance(real, synthetic), rel=1e-12)
    assert gradient_distance(synthetic, real).item() == pytest.approx(naive_distance(real, synthetic), rel=1e-12)


def test_the_distance_keeps_the_memory_layout_out_of_it():
    real, synthetic = random_gradients(1)["conv"], random_gradients(2)["conv"]
    other = synthetic.contiguous(memory_format=torch.channels_last)
    assert layer_distance(real, other).item() == pytest.approx(layer_distance(real, synthetic).item(), rel=1e-14)


@pytest.mark.parametrize("name", ["conv.bias", "linear.bias"])
def test_one_dimensional_parameters_count_nothing(name):
    real, synthetic = random_gradients(1), random_gradients(2)
    before = gradient_distance(real, synthetic)
    assert layer_distance(real[name], synthetic[name]).item() == 0
    assert gradient_distance(real, {**synthetic, name: -real[name]}) == before


def test_eps_is_added_to_the_product_of_norms():
    small = torch.tensor([[3e-4, 4e-4]], dtype=torch.float64)  # norm 5e-4, product with itself 2.5e-7
    assert layer_distance(small, small).item() == pytest.approx(1 - 2.5e-7 / (2.5e-7 + 1e-6), rel=1e-12)
    assert EPS == 1e-6


def test_zero_gradients_give_distance_one_per_neuron_and_finite_gradients():
    real = torch.randn(4, 3, dtype=torch.float64, generator=seeded(0))
    made = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    distance = layer_distance(real, made)
    (gradient,) = torch.autograd.grad(distance, made)
    assert distance.item() == 4
    assert gradient.isfinite().all()
    assert layer_distance(torch.zeros_like(real), real).item() == 4


@pytest.mark.parametrize("spec", SPECS)
def test_match_and_its_gradient_equal_the_plain_graph_of_a_graph(spec):
    network, parameters = double_network(spec)
    real_images, real_labels = some_images(6)
    images, labels = some_images(2, 7)
    real = {name: gradient.detach() for name, gradient in plain_gradient(network, real_images, real_labels).items()}
    images.requires_grad_()
    made = plain_gradient(network, images, labels, create_graph=True)
    expected = gradient_distance(real, made)
    (expected_gradient,) = torch.autograd.grad(expected, images)
    structure, _ = double_network(spec, 9)
    gradients = NetworkGradients(structure, compiles=False)
    distance, gradient = gradients.match(parameters, real, images, labels)
    assert distance.item() == pytest.approx(naive_distance(real, {k: v.detach() for k, v in made.items()}), rel=1e-10)
    assert distance.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-11)
    assert not distance.requires_grad
    assert gradient.abs().max() > 1e-6


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("size", [1, 3, 4, 7, 20])
def test_the_gradient_of_a_batch_does_not_depend_on_chunks(spec, size):
    network, parameters = double_network(spec)
    images, labels = some_images(7)
    structure, _ = double_network(spec, 9)
    found = NetworkGradients(structure, compiles=False).of_mean_loss(parameters, images, labels, size)
    expected = plain_gradient(network, images, labels)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
        assert not found[name].requires_grad


@pytest.mark.parametrize("spec", ["convnet-d3-w16", "convnet-d2-w4-ln-max"])
def test_gradients_in_bf16_point_where_those_in_fp32_do_and_are_fp32(spec):
    structure = make_network(spec, InputShape(3, 16, 10), seeded(1))
    parameters = {name: parameter.detach().clone() for name, parameter in structure.named_parameters()}
    gradients = NetworkGradients(structure, compiles=False)
    images = torch.randn(24, 3, 16, 16, generator=seeded(2))
    labels = torch.full((24,), 3)
    plain, half = (gradients.of_mean_loss(parameters, images, labels, 8, precision) for precision in ("fp32", "bf16"))
    for name, gradient in plain.items():
        assert half[name].dtype == torch.float32
        if gradient.ndim > 1:
            cosine = F.cosine_similarity(gradient.flatten(), half[name].flatten(), 0)
            assert 0.98 < cosine < 1, name
            assert not torch.equal(half[name], gradient)


def test_every_chunk_that_is_compiled_has_one_shape_and_layout_whatever_comes_in(monkeypatch):
    structure = make_network("convnet-d1-w4-none", InputShape(1, 8, 3), seeded(1))
    parameters = {name: parameter.detach() for name, parameter in structure.named_parameters()}
    gradients = NetworkGradients(structure, compiles=False)
    seen = set()

    def watch(parameters, images, labels, weights):
        seen.add((images.shape, images.stride(), labels.shape, weights.shape))
        return {name: torch.zeros(()) for name in parameters}

    monkeypatch.setattr(gradients, "_part", watch)
    images = torch.randn(10, 1, 8, 8, generator=seeded(2))
    for given in (images, images[:3], images.contiguous(memory_format=torch.channels_last), images.flip(3)[:, :, ::1]):
        gradients.of_mean_loss(parameters, given, torch.zeros(len(given), dtype=torch.int64), 4)
    assert len(seen) == 1


def test_padding_in_channels_last_keeps_the_images_and_their_graph_apart():
    images = torch.randn(3, 2, 4, 4, generator=seeded(0)).requires_grad_()
    padded = in_channels_last(images, 5)
    assert torch.equal(padded[:3], images)
    assert padded[3:].abs().sum() == 0
    assert padded.is_contiguous(memory_format=torch.channels_last)
    assert not padded.requires_grad


@pytest.mark.slow
def test_compiled_gradients_equal_eager_ones_and_nothing_is_compiled_twice(recwarn):
    structure = make_network("convnet-d2-w8-sigmoid", COLOUR, seeded(1))
    images, labels = torch.randn(8, 3, 8, 8, generator=seeded(2)), torch.arange(8) % 3
    engines = {mode: NetworkGradients(structure, compiles=mode == "compiled") for mode in ("eager", "compiled")}
    torch._dynamo.reset()
    for seed in range(3):
        network = make_network("convnet-d2-w8-sigmoid", COLOUR, seeded(seed)).to(memory_format=torch.channels_last)
        parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
        found = {}
        for mode, gradients in engines.items():
            real = gradients.of_mean_loss(parameters, images, labels, 4)
            found[mode] = (real, *gradients.match(parameters, real, images[:2], labels[:2]))
            assert gradients.mode == mode
        torch.testing.assert_close(found["compiled"], found["eager"], rtol=1e-3, atol=1e-5)
        if seed == 0:
            counted = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == counted
