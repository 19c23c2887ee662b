"""Tests of GSAM's experts in float64, against its steps written out parameter by parameter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.errors import DataMismatchError
from ddbench.method import make_method
from ddbench.methods._trajectories.expert_files import expert_path
from ddbench.methods._trajectories.flat_minima import SharpnessAwareNetwork, climb, descent
from ddbench.network import InputShape, make_network
from ddbench.runs.preparation import prepared_key
from tests.golden._naive import Parameters, augmented, drawn, loss_of
from tests.golden._naive_trajectories import joined

SPEC = "convnet-d1-w4"
SHAPE = InputShape(3, 8, 3)
SMALL = {
    "network": SPEC,
    "zca": False,
    "num_experts": 2,
    "trajectory_epochs": 3,
    "trajectory_batch_size": 10,
    "trajectory_lr": 0.05,
    "expert_epochs": 1,
    "max_start_epoch": 1,
    "gsam_rho": 0.5,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive_direction(parameters: Parameters, images: Tensor, labels: list[int], rho: float, alpha: float) -> Parameters:
    """GSAM, arXiv 2203.08065, algorithm 1 with ASAM's ascent: gradient there, less the first one's part across it."""

    def gradient(weights: Parameters) -> Parameters:
        leaves = [w.detach().requires_grad_() for w in weights]
        return torch.autograd.grad(loss_of(leaves, images, labels), leaves)

    def dot(left: Parameters, right: Parameters) -> Tensor:
        return sum((a * b).sum() for a, b in zip(left, right, strict=True))

    first = gradient(parameters)
    scaled = [w.abs() * g for w, g in zip(parameters, first, strict=True)]
    length = dot(scaled, scaled).sqrt()
    climbed = [w + rho * w**2 * g / length for w, g in zip(parameters, first, strict=True)]
    second = gradient(climbed)
    along = dot(first, second) / dot(second, second)
    return [s - alpha * (f - along * s) for f, s in zip(first, second, strict=True)]


def network_of(alpha: float, rho: float = 0.5, chunk: int | None = None) -> SharpnessAwareNetwork:
    network = make_network(SPEC, SHAPE, seeded(99)).double().requires_grad_(False)
    return SharpnessAwareNetwork(network, compiles=False, batch_size=6, chunk=chunk, rho=rho, alpha=alpha)


def problem(seed: int) -> tuple[Parameters, Tensor, list[int]]:
    draws = seeded(seed)
    parameters = [part.detach().double() for part in make_network(SPEC, SHAPE, draws).parameters()]
    parameters = [part + 0.1 * torch.randn(part.shape, dtype=torch.float64, generator=draws) for part in parameters]
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=draws)
    return parameters, images, torch.randint(3, (6,), generator=draws).tolist()


def error_of(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("chunk", [None, 4], ids=["whole batches", "chunks"])
@pytest.mark.parametrize(("rho", "alpha"), [(0.01, 0.3), (0.5, 0.3), (0.5, 0.0), (0.5, 2.0)])
def test_the_direction_of_a_step_is_gsams(rho, alpha, chunk):
    parameters, images, labels = problem(1)
    found = network_of(alpha, rho, chunk).gradient(joined(parameters), images, torch.tensor(labels))
    expected = joined(naive_direction(parameters, images, labels, rho, alpha))
    assert error_of(found, expected) < 1e-10
    plain = joined(naive_direction(parameters, images, labels, 1e-9, 0.0))
    assert error_of(found, plain) > 1e-4


def test_experts_trained_at_once_go_the_same_way():
    problems = [problem(seed) for seed in (1, 2, 3)]
    rows = torch.stack([joined(parameters) for parameters, _, _ in problems])
    images = torch.stack([own for _, own, _ in problems])
    found = network_of(0.3).gradients(rows, images, torch.tensor([own for _, _, own in problems]))
    for row, (parameters, own, labels) in zip(found, problems, strict=True):
        assert error_of(row, joined(naive_direction(parameters, own, labels, 0.5, 0.3))) < 1e-10


def test_climb_and_descent_by_hand():
    assert climb(torch.tensor([2.0, 1.0]), torch.tensor([1.5, 4.0]), 10.0).tolist() == pytest.approx([12.0, 8.0])
    assert descent(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0]), 0.5).tolist() == pytest.approx([2.0, -2.0])
    still = torch.zeros(2)
    assert torch.equal(climb(still, still, 1.0), still)
    assert torch.equal(descent(still, still, 1.0), still)


@pytest.fixture
def prepare(toy, context, tmp_path):
    """A function that prepares a method's experts with seed 3 and returns its folder."""

    def run(name: str = "datm", **settings: object):
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        taken = {key: value for key, value in SMALL.items() if name == "datm" or key != "gsam_rho"}
        method = make_method(name, {**taken, **settings})
        return method.prepare(toy, replace(context, cache_dir=folder, generator=seeded(3)))

    return run


def trajectory(folder, index: int) -> Tensor:
    return load_file(expert_path(folder, index))["trajectory"]


def test_prepared_experts_are_naive_ones(prepare, toy):
    folder, seeds = prepare(), seeded(3)
    for index in range(2):
        generator = seeded(int(torch.randint(2**63 - 1, (), generator=seeds)))
        parameters = [part.detach().double() for part in make_network(SPEC, SHAPE, generator).parameters()]
        images, rows = toy.normalised().double(), [joined(parameters)]
        for _ in range(3):
            order = torch.randperm(27, generator=generator).tolist()
            while order:
                chosen, order = order[:10], order[10:]
                shown = augmented(images[chosen], *drawn(DSA_STRATEGY, len(chosen), generator))
                labels = [int(toy.labels[i]) for i in chosen]
                way = naive_direction(parameters, shown, labels, 0.5, 0.3)
                parameters = [w - 0.05 * d for w, d in zip(parameters, way, strict=True)]
            rows.append(joined(parameters))
        found, expected = trajectory(folder, index).double(), torch.stack(rows)
        assert error_of(found[1:] - found[0], expected[1:] - expected[0]) < 1e-4


def test_without_a_climb_experts_are_those_of_plain_sgd(prepare):
    plain, without, flat = prepare("mtt"), prepare(gsam_rho=0.0), prepare()
    assert torch.equal(trajectory(plain, 1), trajectory(without, 1))
    assert not torch.allclose(trajectory(plain, 1), trajectory(flat, 1))


def test_files_say_how_experts_were_trained(prepare, toy, context):
    method = make_method("datm", {**SMALL, "gsam_rho": 0.25})
    said = "training: expected .*, GSAM rho 0.25, alpha 0.3, found .*, GSAM rho 0.5, alpha 0.3"
    with pytest.raises(DataMismatchError, match=said):
        method.load_experts(toy, replace(context, prepared=prepare()))


def test_only_how_they_are_trained_is_in_the_key(toy):
    def key(**settings: object) -> str:
        return prepared_key("datm", make_method("datm", {**SMALL, **settings}), toy, 0).digest

    assert len({key(), key(gsam_rho=0.25), key(gsam_alpha=0.1)}) == 3
    assert key() == key(label_lr=1.0, threshold=2.0, expansion_steps=7, steps=3)


def test_two_gradients_a_step_are_twice_the_work(toy):
    flat, plain = (make_method("datm", {**SMALL, "gsam_rho": rho}).work(toy, 1).prepare for rho in (0.5, 0.0))
    images = [sum(passes.images for passes in work.passes) for work in (flat, plain)]
    assert images == [2 * 2 * 3 * 27, 2 * 3 * 27]
