"""Tests of the three ways to the gradient in float64, against loops written out here with plain autograd.

The loops share nothing with them: students are modules called by `functional_call` on a dictionary of
parameters, and each way's own definition is differentiated as it stands in its paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.methods._trajectories.meta_gradient import (
    META_GRADIENTS,
    MetaGradient,
    Segment,
    StudentBatch,
    matching_loss,
)
from ddbench.network import InputShape, Network, make_network

SHAPE = InputShape(3, 8, 3)
SPEC = "convnet-d2-w4"
EXACT = ("unrolled", "adjoint")
Parameters = dict[str, Tensor]


class Problem:
    """A student, a segment that an expert could have gone, synthetic images and a batch for every step."""

    def __init__(self, steps: int = 4, size: int = 5, strategy: str = DSA_STRATEGY, lr: float = 0.3) -> None:
        draws = torch.Generator().manual_seed(17)
        self.network: Network = make_network(SPEC, SHAPE, draws).double()
        start = flatten_parameters(self.network)
        moved = torch.randn(len(start), dtype=torch.float64, generator=draws)
        self.segment = Segment(start, start + 0.02 * moved)
        self.images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=draws)
        self.lr = torch.tensor(lr, dtype=torch.float64)
        labels = torch.arange(3).repeat_interleave(2)
        self.batches = []
        for _ in range(steps):
            indices = torch.randperm(6, generator=draws)[:size]
            self.batches.append(StudentBatch(indices, labels[indices], draw_dsa(draws, strategy, size)))

    @property
    def flat(self) -> FlatNetwork:
        network = make_network(SPEC, SHAPE, torch.Generator()).double().requires_grad_(False)
        return FlatNetwork(network, compiles=False, batch_size=1)

    def run(self, way: str) -> MetaGradient:
        return META_GRADIENTS[way](self.flat, self.images, self.lr, self.segment, self.batches)

    def named(self, vector: Tensor) -> Parameters:
        """The parts of a flat vector, (P,), by the names of the network's parameters."""
        found, first = {}, 0
        for name, parameter in self.network.named_parameters():
            found[name] = vector[first : first + parameter.numel()].reshape(parameter.shape)
            first += parameter.numel()
        return found

    def student_loss(self, parameters: Parameters, images: Tensor, batch: StudentBatch) -> Tensor:
        seen = apply_dsa(torch.stack([images[i] for i in batch.indices.tolist()]), batch.draw)
        return F.cross_entropy(functional_call(self.network, parameters, (seen,)), batch.labels)

    def distance(self, parameters: Parameters) -> Tensor:
        """Squared distance of a student from the target, over that of the start (equation 2 of MTT)."""
        start, target = self.named(self.segment.start), self.named(self.segment.target)
        ends = sum(((parameters[name] - target[name]) ** 2).sum() for name in target)
        return ends / sum(((start[name] - target[name]) ** 2).sum() for name in target)


def naive_loss(problem: Problem, images: Tensor, lr: Tensor) -> Tensor:
    """The matching loss as a differentiable function of images and rate: the student's SGD, step by step."""
    parameters = {name: part.clone().requires_grad_() for name, part in problem.named(problem.segment.start).items()}
    for batch in problem.batches:
        loss = problem.student_loss(parameters, images, batch)
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        parameters = {n: p - lr * g for (n, p), g in zip(parameters.items(), gradients, strict=True)}
    return problem.distance(parameters)


def naive_gradient(problem: Problem) -> MetaGradient:
    images, lr = problem.images.clone().requires_grad_(), problem.lr.clone().requires_grad_()
    loss = naive_loss(problem, images, lr)
    return MetaGradient(loss.detach(), *torch.autograd.grad(loss, (images, lr)))


def naive_tesla(problem: Problem) -> MetaGradient:
    """TESLA (arXiv 2211.10586): the squared norm expanded in the accumulated gradient G = sum of g[t].

    ||start - lr G - target||^2 = ||start - target||^2 - 2 lr <G, start - target> + lr^2 ||G||^2, where each g[t] is
    taken at parameters that carry no gradient. Its code differentiates lr^2 <G, g[t]> with G detached, once for every
    t, where the derivative of ||G||^2 has twice that: the factor 2 that is restored here.
    """
    images, lr = problem.images.clone().requires_grad_(), problem.lr.clone().requires_grad_()
    parameters, gradients = problem.named(problem.segment.start), []
    for batch in problem.batches:
        leaves = {name: part.detach().requires_grad_() for name, part in parameters.items()}
        loss = problem.student_loss(leaves, images, batch)
        parts = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        gradients.append(torch.cat([part.flatten() for part in parts]))
        parameters = {n: p - lr.detach() * g.detach() for (n, p), g in zip(leaves.items(), parts, strict=True)}
    away = problem.segment.start - problem.segment.target
    total = sum(gradients).detach()
    scale = away.dot(away)
    by_images = sum(
        torch.autograd.grad(2 * lr.detach() ** 2 * total.dot(g) - 2 * lr.detach() * g.dot(away), images)[0]
        for g in gradients
    )
    loss = (away.dot(away) - 2 * lr * total.dot(away) + lr**2 * total.dot(total)) / scale
    return MetaGradient(loss.detach(), by_images / scale, torch.autograd.grad(loss, lr)[0])


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert expected.norm() > 0
    return float((found - expected).norm() / expected.norm())


def worst(found: MetaGradient, expected: MetaGradient) -> float:
    pairs = ((found.loss, expected.loss), (found.images, expected.images), (found.lr, expected.lr))
    return max(error_of(*pair) for pair in pairs)


def cosine(first: Tensor, second: Tensor) -> float:
    return float(F.cosine_similarity(first.flatten(), second.flatten(), dim=0))


def test_the_loss_is_the_squared_distance_over_that_of_the_start():
    segment = Segment(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 2.0]))
    assert matching_loss(torch.tensor([1.0, 2.0, 5.0]), segment).item() == 1
    assert matching_loss(torch.tensor([1.0, 0.0, 2.0]), segment).item() == pytest.approx(4 / 9)
    assert matching_loss(segment.start, segment).item() == 1
    assert matching_loss(segment.target, segment).item() == 0


@pytest.mark.parametrize("way", EXACT)
@pytest.mark.parametrize(("steps", "size"), [(1, 6), (4, 6), (5, 4)], ids=["one step", "all images", "mini-batches"])
def test_exact_gradients_equal_a_naive_loop(way, steps, size):
    problem = Problem(steps, size)
    assert worst(problem.run(way), naive_gradient(problem)) < 1e-10


@pytest.mark.parametrize("strategy", DSA_STRATEGY.split("_"))
def test_exact_gradients_agree_under_each_augmentation(strategy):
    problem = Problem(steps=3, size=4, strategy=strategy)
    found, expected = problem.run("adjoint"), problem.run("unrolled")
    assert worst(found, expected) < 1e-10
    assert worst(expected, naive_gradient(problem)) < 1e-10


def test_augmentation_changes_the_gradient():
    plain, augmented = Problem(steps=2), Problem(steps=2)
    plain.batches = [StudentBatch(b.indices, b.labels, Draw("flip", torch.ones(1, 1))) for b in augmented.batches]
    assert error_of(plain.run("adjoint").images, augmented.run("adjoint").images) > 0.1


@pytest.mark.parametrize("way", EXACT)
def test_the_rates_gradient_agrees_with_finite_differences(way):
    problem, width = Problem(), 1e-5
    up, down = (naive_loss(problem, problem.images, problem.lr + side * width) for side in (1, -1))
    expected = float((up - down).detach()) / (2 * width)
    assert problem.run(way).lr.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("way", EXACT)
def test_the_images_gradient_agrees_with_finite_differences(way):
    problem, width = Problem(), 1e-5
    along = torch.randn(problem.images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    up, down = (naive_loss(problem, problem.images + side * width * along, problem.lr) for side in (1, -1))
    expected = float((up - down).detach()) / (2 * width)
    assert float((problem.run(way).images * along).sum()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 4])
def test_tesla_equals_a_loop_of_its_own_definition(steps):
    problem = Problem(steps, size=4)
    assert worst(problem.run("tesla"), naive_tesla(problem)) < 1e-10


def test_tesla_is_exact_for_one_step_alone():
    assert worst(Problem(1).run("tesla"), naive_gradient(Problem(1))) < 1e-10
    several, exact = Problem(4).run("tesla"), naive_gradient(Problem(4))
    assert several.loss.item() == pytest.approx(exact.loss.item(), rel=1e-12)
    assert error_of(several.images, exact.images) > 1e-2
    assert error_of(several.lr, exact.lr) > 1e-2


def softened(problem: Problem) -> tuple[Problem, Tensor]:
    """The same problem under soft labels, (6, 3), which a step sees as rows of one tensor."""
    shares = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).softmax(1)
    shares.requires_grad_()
    problem.batches = [StudentBatch(b.indices, shares[b.indices], b.draw) for b in problem.batches]
    return problem, shares


@pytest.mark.parametrize("way", EXACT)
def test_exact_gradients_by_soft_labels_equal_a_naive_loop(way):
    problem, shares = softened(Problem(steps=4, size=4))
    (expected,) = torch.autograd.grad(naive_loss(problem, problem.images, problem.lr), shares)
    assert error_of(problem.run(way).labels, expected) < 1e-10


def test_tesla_by_soft_labels_holds_its_direction_still():
    """Each step leaves -lr d<g[t], direction>/dp, where the direction is 2 (end - target) / ||start - target||^2."""
    problem, shares = softened(Problem(steps=4, size=4))
    parameters, gradients = problem.named(problem.segment.start), []
    for batch in problem.batches:
        leaves = {name: part.detach().requires_grad_() for name, part in parameters.items()}
        parts = torch.autograd.grad(
            problem.student_loss(leaves, problem.images, batch), [*leaves.values()], create_graph=True
        )
        gradients.append(torch.cat([part.flatten() for part in parts]))
        parameters = {n: p - problem.lr * g.detach() for (n, p), g in zip(leaves.items(), parts, strict=True)}
    end = torch.cat([part.detach().flatten() for part in parameters.values()])
    away = problem.segment.start - problem.segment.target
    direction = 2 * (end - problem.segment.target) / away.dot(away)
    (expected,) = torch.autograd.grad(-problem.lr * sum(gradients).dot(direction), shares)
    assert error_of(problem.run("tesla").labels, expected) < 1e-10


@pytest.mark.parametrize("way", META_GRADIENTS)
def test_hard_labels_have_no_gradient(way):
    assert Problem(steps=1).run(way).labels is None


@pytest.mark.filterwarnings("ignore:record_property is incompatible")  # only for one form of XML report
def test_angle_between_tesla_and_the_exact_gradient(record_property):
    cosines = {}
    for steps in (1, 10, 30):
        problem = Problem(steps, size=6, lr=0.05)
        cosines[steps] = cosine(problem.run("tesla").images, problem.run("adjoint").images)
        record_property(f"cosine_at_{steps}_steps", cosines[steps])
    assert cosines[1] == pytest.approx(1, abs=1e-12)
    assert all(-1 <= cosines[steps] < 1 - 1e-6 for steps in (10, 30))


@pytest.mark.parametrize("way", META_GRADIENTS)
def test_images_outside_every_batch_get_no_gradient(way):
    problem = Problem(steps=2)
    labels = torch.arange(3).repeat_interleave(2)
    used = torch.tensor([4, 1, 3])
    batch = StudentBatch(used, labels[used], problem.batches[0].draw)
    problem.batches = [StudentBatch(used, labels[used], Draw(batch.draw.strategy, batch.draw.params[:3]))] * 2
    found = problem.run(way).images
    assert found.flatten(1).norm(dim=1).gt(0).tolist() == [False, True, False, True, True, False]


@pytest.mark.parametrize("way", META_GRADIENTS)
def test_no_way_changes_what_it_is_given_or_keeps_a_graph(way):
    problem = Problem(steps=2)
    given: Sequence[Tensor] = (problem.images, problem.lr, problem.segment.start, problem.segment.target)
    before = [tensor.clone() for tensor in given]
    found = problem.run(way)
    assert all(map(torch.equal, given, before))
    assert not any(tensor.requires_grad for tensor in (*given, found.loss, found.images, found.lr))
    assert all(tensor.grad is None for tensor in given)
