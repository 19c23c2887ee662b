"""Tests of a step's derivatives under soft labels, against automatic differentiation of the network, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddbench.methods._trajectories.derivatives import Derivatives, derive, derive_without_parameters
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.network import InputShape, make_network

SHAPE = InputShape(3, 8, 4)
SPECS = ["convnet-d2-w4", "convnet-d1-w4-none-sigmoid", "mlp-w8"]  # the first alone has a native form


class Problem:
    """A network, five images with labels, and a direction."""

    def __init__(self, spec: str, chunk: int | None = None) -> None:
        draws = torch.Generator().manual_seed(4)
        self.network = make_network(spec, SHAPE, draws).double()
        self.parameters = flatten_parameters(self.network)
        self.images = torch.randn(5, 3, 8, 8, dtype=torch.float64, generator=draws)
        self.shares = torch.randn(5, 4, dtype=torch.float64, generator=draws).softmax(1)
        self.direction = torch.randn(len(self.parameters), dtype=torch.float64, generator=draws)
        own = make_network(spec, SHAPE, draws).double().requires_grad_(False)
        self.flat = FlatNetwork(own, compiles=False, batch_size=5, chunk=chunk)

    def run(self, function=derive, labels: Tensor | None = None) -> Derivatives:
        labels = self.shares if labels is None else labels
        return function(self.flat, self.parameters, self.images, labels, self.direction)

    def naive(self) -> tuple[Tensor, ...]:
        """By images, the gradient, by parameters, by labels."""
        weights = list(self.network.parameters())
        images, shares = self.images.clone().requires_grad_(), self.shares.clone().requires_grad_()
        loss = -(shares * self.network(images).log_softmax(1)).sum() / 5
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, create_graph=True)])
        inputs = (images, *weights, shares)
        found = torch.autograd.grad(gradient.dot(self.direction), inputs, materialize_grads=True)
        by_images, *by_weights, by_shares = found
        return by_images, gradient.detach(), torch.cat([part.flatten() for part in by_weights]), by_shares


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("chunk", [None, 2], ids=["whole batches", "chunks"])
@pytest.mark.parametrize("spec", SPECS)
def test_derivatives_are_those_of_the_network(spec, chunk):
    problem = Problem(spec, chunk)
    found = problem.run()
    assert max(error_of(*pair) for pair in zip(found, problem.naive(), strict=True)) < 1e-10
    assert not any(part.requires_grad for part in found)


@pytest.mark.parametrize("spec", SPECS)
def test_hard_labels_are_soft_ones_of_one_class(spec):
    problem, hard = Problem(spec), torch.tensor([3, 0, 1, 1, 2])
    found, expected = problem.run(labels=torch.eye(4).double()[hard]), problem.run(labels=hard)
    assert expected.by_labels is None
    assert max(error_of(*pair) for pair in zip(found[:3], expected[:3], strict=True)) < 1e-10


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_those_by_the_parameters_may_be_left_out(labels):
    problem = Problem(SPECS[0])
    given = torch.tensor([3, 0, 1, 1, 2]) if labels == "hard" else problem.shares
    found, expected = problem.run(derive_without_parameters, given), problem.run(labels=given)
    assert error_of(found.by_images, expected.by_images) < 1e-12
    assert error_of(found.gradient, expected.gradient) < 1e-12
    assert (found.by_labels is None) == (labels == "hard")
