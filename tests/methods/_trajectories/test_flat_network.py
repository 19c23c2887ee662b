"""Tests of a network at flat parameters, against automatic differentiation of the network itself, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.engine.chunks import shrunk_chunks
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.network import InputShape, Network, make_network
from ddbench.networks import convnet

SHAPE = InputShape(3, 8, 4)
# The first has a native form; the others run compiled or eagerly.
SPECS = ["convnet-d2-w4", "convnet-d1-w4-none-sigmoid", "mlp-w8"]
TOLERANCE = 1e-10


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(spec: str = SPECS[0], seed: int = 1) -> Network:
    return make_network(spec, SHAPE, seeded(seed)).double()


def flat(spec: str = SPECS[0], *, compiles: bool = False) -> FlatNetwork:
    """The network as a function; its own parameters are others than those of `make`."""
    return FlatNetwork(make(spec, seed=99).requires_grad_(False), compiles=compiles, batch_size=6)


def batch(count: int = 6, seed: int = 2) -> tuple[Tensor, Tensor]:
    draws = seeded(seed)
    images = torch.randn(count, 3, 8, 8, dtype=torch.float64, generator=draws)
    return images, torch.randint(4, (count,), generator=draws)


def direction_for(network: Network, seed: int = 3) -> Tensor:
    return torch.randn(len(flatten_parameters(network)), dtype=torch.float64, generator=seeded(seed))


def plain_gradient(network: Network, images: Tensor, labels: Tensor, *, create_graph: bool = False) -> Tensor:
    """Gradient of the network's own loss by its own parameters, (P,)."""
    loss = F.cross_entropy(network(images), labels)
    parts = torch.autograd.grad(loss, list(network.parameters()), create_graph=create_graph)
    return torch.cat([part.flatten() for part in parts])


def plain_backward(network: Network, images: Tensor, labels: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of <gradient, direction> by the network's own parameters, (P,), and by the images."""
    images = images.clone().requires_grad_()
    along = plain_gradient(network, images, labels, create_graph=True).dot(direction)
    names = [*network.parameters(), images]
    found = torch.autograd.grad(along, names, allow_unused=True)  # a bias of the last layer may not occur
    *parts, by_images = (torch.zeros_like(n) if part is None else part for n, part in zip(names, found, strict=True))
    return torch.cat([part.flatten() for part in parts]), by_images


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert expected.norm() > 0
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("spec", SPECS)
def test_loss_is_the_cross_entropy_of_the_network(spec):
    network, (images, labels) = make(spec), batch()
    found = flat(spec).loss(flatten_parameters(network), images, labels)
    assert found.shape == ()
    assert found.item() == pytest.approx(F.cross_entropy(network(images), labels).item(), rel=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_is_that_of_the_network(spec):
    network, (images, labels) = make(spec), batch()
    found = flat(spec).gradient(flatten_parameters(network), images, labels)
    assert error_of(found, plain_gradient(network, images, labels)) < TOLERANCE
    assert not found.requires_grad


@pytest.mark.parametrize("spec", SPECS)
def test_backward_is_the_second_derivative_of_the_network(spec):
    network, (images, labels) = make(spec), batch()
    direction, parameters = direction_for(network), flatten_parameters(network)
    by_parameters, by_images, gradient = flat(spec).backward(parameters, images, labels, direction)
    expected_parameters, expected_images = plain_backward(network, images, labels, direction)
    assert error_of(by_parameters, expected_parameters) < TOLERANCE
    assert error_of(by_images, expected_images) < TOLERANCE
    assert error_of(gradient, plain_gradient(network, images, labels)) < TOLERANCE


@pytest.mark.parametrize("spec", SPECS)
def test_images_backward_is_the_images_part_of_it(spec):
    network, (images, labels) = make(spec), batch()
    direction, parameters = direction_for(network), flatten_parameters(network)
    by_images, gradient = flat(spec).images_backward(parameters, images, labels, direction)
    assert error_of(by_images, plain_backward(network, images, labels, direction)[1]) < TOLERANCE
    assert error_of(gradient, plain_gradient(network, images, labels)) < TOLERANCE


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_are_those_of_each_network_on_its_own_batch(spec):
    networks = [make(spec, seed) for seed in (1, 5, 6)]
    batches = [batch(seed=seed) for seed in (2, 7, 8)]
    parameters = torch.stack([flatten_parameters(network) for network in networks])
    images, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))
    found = flat(spec).gradients(parameters, images, labels)
    assert len(found) == 3
    for row, network, one in zip(found, networks, batches, strict=True):
        assert error_of(row, plain_gradient(network, *one)) < TOLERANCE


def test_channels_last_images_give_the_same():
    network, (images, labels) = make(), batch()
    direction, parameters = direction_for(network), flatten_parameters(network)
    other = images.contiguous(memory_format=torch.channels_last)
    plain, last = (flat().backward(parameters, each, labels, direction) for each in (images, other))
    assert max(map(error_of, last, plain)) < TOLERANCE


def test_nothing_it_is_given_changes():
    network, (images, labels), own = make(), batch(), make(seed=99).requires_grad_(False)
    function = FlatNetwork(own, compiles=False, batch_size=6)
    given = [flatten_parameters(network), images, labels, direction_for(network)]
    before = [tensor.clone() for tensor in (*given, *own.parameters())]
    function.backward(*given)
    function.images_backward(*given)
    function.gradient(*given[:3])
    assert all(map(torch.equal, (*given, *own.parameters()), before))
    assert all(parameter.grad is None for parameter in own.parameters())


def test_flat_parameters_are_a_copy_in_the_networks_order():
    network = make()
    found = flatten_parameters(network)
    assert found.tolist() == [value for parameter in network.parameters() for value in parameter.flatten().tolist()]
    assert not found.requires_grad
    found.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in network.parameters() if parameter.ndim > 1)


def test_batches_of_another_size_than_the_usual_run_eagerly(monkeypatch):
    sizes: list[int] = []

    def compiler(function, **options):
        def run(parameters, images, *others):
            sizes.append(len(images))
            return function(parameters, images, *others)

        return run

    monkeypatch.setattr(torch, "compile", compiler)
    network = make(SPECS[1])
    function, parameters, direction = flat(SPECS[1], compiles=True), flatten_parameters(network), direction_for(network)
    for count in (4, 6, 7, 6):  # the odd one first, as after a resume
        images, labels = batch(count)
        expected = plain_backward(network, images, labels, direction)
        assert error_of(function.gradient(parameters, images, labels), plain_gradient(network, images, labels)) < 1e-10
        by_parameters, by_images, _ = function.backward(parameters, images, labels, direction)
        assert error_of(by_parameters, expected[0]) < TOLERANCE
        assert error_of(by_images, expected[1]) < TOLERANCE
        assert error_of(function.images_backward(parameters, images, labels, direction)[0], expected[1]) < TOLERANCE
    assert sizes == [6] * 6
    assert function.mode == "compiled"


def test_without_compiling_everything_is_eager(monkeypatch):
    monkeypatch.setattr(torch, "compile", None)  # a call would fail
    network, (images, labels) = make(SPECS[1]), batch()
    function = flat(SPECS[1])
    function.gradient(flatten_parameters(network), images, labels)
    function.images_backward(flatten_parameters(network), images, labels, direction_for(network))
    assert function.mode == "eager"


def test_the_mode_is_that_of_what_was_called(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    network, (images, labels) = make(SPECS[1]), batch()
    function = flat(SPECS[1], compiles=True)
    function.loss(flatten_parameters(network), images, labels)
    assert function.mode == "eager"  # as in the unrolled gradient, which differentiates the loss itself
    function.backward(flatten_parameters(network), images, labels, direction_for(network))
    assert function.mode == "compiled"


@pytest.mark.slow  # two graphs through the C++ compiler take about a minute
def test_compiled_derivatives_equal_eager_ones():
    network, (images, labels) = make(SPECS[1]), batch()
    parameters, direction = flatten_parameters(network), direction_for(network)
    results = []
    for compiles in (False, True):
        function = flat(SPECS[1], compiles=compiles)
        results.append(
            [function.gradient(parameters, images, labels), *function.backward(parameters, images, labels, direction)]
        )
        assert function.mode == ("compiled" if compiles else "eager")
    assert max(map(error_of, results[1], results[0])) < TOLERANCE


@pytest.mark.compiler
@pytest.mark.parametrize("chunk", [1, 4, 6, None])
def test_in_native_form_chunks_change_nothing_and_nothing_is_compiled(chunk, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: None)  # a call would fail
    network, (images, labels) = make(), batch()
    direction, parameters = direction_for(network), flatten_parameters(network)
    function = FlatNetwork(make(seed=99).requires_grad_(False), compiles=True, batch_size=6, chunk=chunk)
    expected = [*plain_backward(network, images, labels, direction), plain_gradient(network, images, labels)]
    found = function.backward(parameters, images, labels, direction)
    assert max(map(error_of, found, expected)) < TOLERANCE
    assert error_of(function.gradient(parameters, images, labels), expected[2]) < TOLERANCE
    assert not any(tensor.requires_grad for tensor in found)
    assert function.mode == "native"


def test_without_a_compiler_the_usual_network_runs_as_it_is(monkeypatch):
    monkeypatch.setattr(convnet, "with_native_blocks", lambda network: network)
    network, (images, labels) = make(), batch()
    direction, parameters = direction_for(network), flatten_parameters(network)
    function = flat()
    expected = [*plain_backward(network, images, labels, direction), plain_gradient(network, images, labels)]
    assert max(map(error_of, function.backward(parameters, images, labels, direction), expected)) < TOLERANCE
    assert error_of(function.gradient(parameters, images, labels), expected[2]) < TOLERANCE
    assert function.mode == "eager"


@pytest.mark.compiler
def test_chunks_shrink_where_memory_runs_out(monkeypatch):
    network, (images, labels) = make(), batch()
    parameters, direction = flatten_parameters(network), direction_for(network)
    function, whole, sizes = flat(), FlatNetwork.loss, []

    def tight(self, parameters, images, labels):
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError
        return whole(self, parameters, images, labels)

    expected = function.backward(parameters, images, labels, direction)
    monkeypatch.setattr(FlatNetwork, "loss", tight)
    with shrunk_chunks() as shrunk:
        found = function.backward(parameters, images, labels, direction)
    assert max(map(error_of, found, expected)) < TOLERANCE
    assert shrunk == {"flat_network_chunk": 3}
    assert sizes == [6, 3, 3]
