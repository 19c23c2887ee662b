"""MTT against its paper written out in float64: experts, meta-steps and whole runs, native and with plain layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ddbench.augment.dsa import Draw
from ddbench.images import LabeledImages
from ddbench.method import RunContext, make_method
from ddbench.methods._trajectories.expert_files import Expert, save_expert
from ddbench.methods._trajectories.experts import ExpertConfig, ExpertTraining
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, Segment, StudentBatch
from ddbench.network import InputShape, Network, make_network
from ddbench.networks import convnet
from ddbench.students.loop import TrainingSet
from tests.golden import _hashed as hashed
from tests.golden._agreement import difference
from tests.golden._double import DoubleImages
from tests.golden._naive_trajectories import Following, Seen, cut_up, meta_loss, naive_expert, naive_following

WITHIN, WITHIN_FLOAT32 = 1e-12, 1e-5
SPEC, SHAPE = Following.network, InputShape(3, 8, 3)
LABELS = [0, 0, 1, 1, 2, 2]
FORMS = [pytest.param("native", marks=pytest.mark.compiler), "plain"]
IN_CHUNKS = pytest.param("native in chunks", marks=pytest.mark.compiler)


@pytest.fixture
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Networks have their native form, or none."""
    if request.param == "plain":
        monkeypatch.setattr(convnet, "with_native_blocks", lambda network: network)
    return request.param


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_network(seed: int) -> Network:
    network = make_network(SPEC, SHAPE, seeded(0))
    hashed.fill(network, seed)
    return network.requires_grad_(False)


def flat(chunk: int | None = None) -> FlatNetwork:
    return FlatNetwork(some_network(1), compiles=False, batch_size=1, chunk=chunk)


def trajectory(number: int) -> Tensor:
    """(5, P) float32: where an expert could have gone."""
    start = hashed.joined(some_network(100 * number).parameters())
    moves = [0.02 * (hashed.uniform(start.shape, 1000 * number + epoch) - 0.5) for epoch in range(5)]
    return (start + torch.stack(moves).cumsum(0)).float()


def seen_batches(size: int, names: list[str]) -> list[Seen]:
    batches = []
    for number, name in enumerate(names):
        chosen = hashed.order(6, number).tolist()[:size]
        numbers = hashed.params(name, size, number).tolist()
        batches.append(Seen(chosen, [LABELS[i] for i in chosen], name, numbers))
    return batches


@pytest.mark.parametrize("form", [*FORMS, IN_CHUNKS], indirect=True)
@pytest.mark.parametrize("way", ["unrolled", "adjoint"])
@pytest.mark.parametrize("size", [6, 4], ids=["all images", "mini-batches"])
@pytest.mark.usefixtures("in_double")
def test_meta_steps_are_the_papers_equation(way, form, size, agreement):
    images, lr = hashed.images(6, (3, 8, 8), 5), torch.tensor(0.3)
    start, target = trajectory(1)[[0, 3]].double()
    batches = seen_batches(size, [*hashed.STRATEGIES])
    given = [
        StudentBatch(torch.tensor(b.chosen), torch.tensor(b.labels), Draw(b.name, torch.tensor(b.numbers)))
        for b in batches
    ]
    network = flat(chunk=2 if form == IN_CHUNKS.values[0] else None)
    assert network.is_native == (form != "plain")
    found = META_GRADIENTS[way](network, images, lr, Segment(start, target), given)
    leaves = (images.clone().requires_grad_(), lr.clone().requires_grad_())
    ends = (cut_up(vector, SPEC, SHAPE) for vector in (start, target))
    loss = meta_loss(*ends, *leaves, batches)
    by_images, by_lr = torch.autograd.grad(loss, leaves)
    missed = {
        "loss": difference(found.loss, loss),
        "by images": difference(found.images, by_images),
        "by rate": difference(found.lr, by_lr),
    }
    agreement(missed, WITHIN)


def run_mtt(train: LabeledImages, run: Following, context: RunContext, folder: Path) -> dict[str, float]:
    """By how much a run of `mtt` misses the naive one; it must have drawn what that one has."""
    method = make_method("mtt", run.settings())
    trajectories = [trajectory(number) for number in range(3)]
    for number, rows in enumerate(trajectories):
        save_expert(rows, folder, number, method.identity(train, None))
    logged: dict[str, float] = {}
    watched = replace(context, prepared=folder, generator=seeded(21), log=logged.__setitem__)
    found, generator = method.distill(train, 2, watched), seeded(21)
    images, lr, losses, start = naive_following(train, trajectories, run, generator)
    assert torch.equal(watched.generator.get_state(), generator.get_state())
    assert (images - start).abs().max() > 1e-2
    return {
        "loss": difference(logged["loss[0]"], losses[0]),
        "images": difference(found.images, images),
        "moves": difference(found.images.double() - start, images - start),
        "rate's move": difference(found.student_lr - run.start_lr, lr - run.start_lr),
    }


@pytest.mark.parametrize("form", FORMS, indirect=True)
@pytest.mark.parametrize("size", [6, 4], ids=["all images", "mini-batches"])
@pytest.mark.usefixtures("in_double", "form")
def test_whole_runs_are_the_papers_equations(size, toy, context, tmp_path, monkeypatch, agreement):
    plain = Expert.parameters
    monkeypatch.setattr(Expert, "parameters", lambda self, epoch: plain(self, epoch).double())
    run = Following(steps=3, syn_batch_size=size)
    agreement(run_mtt(DoubleImages.from_pixels(toy), run, context, tmp_path), WITHIN)


def test_in_float32_rounding_alone_is_between_them(toy, context, tmp_path, agreement):
    agreement(run_mtt(toy, Following(steps=3, syn_batch_size=4), context, tmp_path), WITHIN_FLOAT32)


@pytest.mark.parametrize("form", FORMS, indirect=True)
@pytest.mark.parametrize("seeds", [[11], [11, 12]], ids=["one", "two at once"])
@pytest.mark.usefixtures("in_double", "form")
def test_experts_are_trained_by_plain_sgd(seeds, toy, agreement):
    config = ExpertConfig(SPEC, zca=False, trajectory_epochs=2, trajectory_lr=0.05, trajectory_batch_size=10)
    images = DoubleImages.from_pixels(toy).normalised()
    training = ExpertTraining(config, TrainingSet(images, toy.labels, toy.info), flat(), seeds)
    for step in training.steps:
        training.run(step)
    missed = {}
    for seed, found in zip(seeds, training.trajectories, strict=True):
        generator = seeded(seed)
        start = list(make_network(SPEC, SHAPE, generator).parameters())
        expected = naive_expert(images, toy.labels.tolist(), start, generator, epochs=2, size=10, lr=0.05)
        missed[f"expert {seed}"] = difference(found, expected)
        missed[f"moves {seed}"] = difference(found[1:] - found[0], expected[1:] - expected[0])
    agreement(missed, WITHIN)
