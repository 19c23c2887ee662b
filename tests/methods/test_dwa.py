"""Tests of DWA: the teacher's climb and a whole run against loops in float64, its recipes, a state that goes on."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.errors import DivergenceError
from ddbench.method import RunContext, make_method
from ddbench.methods._teacher.foundation import load_teacher
from ddbench.methods.dwa import DirectedRecipe, DirectedWeights
from ddbench.network import InputShape, make_network
from ddbench.runs.distill import distill
from ddbench.runs.preparation import make_foundations
from tests._keeper import Keeper, KilledError

CPU = torch.device("cpu")
TEACHER = {"teacher_network": "convnet-d2-w8-bn", "teacher_epochs": 2}
EXACT = {**TEACHER, "steps": 8, "lr": 0.1, "statistics_weight": 0.5, "variance_weight": 3.0, "climbs": 3, "roll": 0}


def naive_climb(network, images: Tensor, labels: Tensor, climbs: int, rho: float) -> None:
    """Steps of equal length along the whole gradient, which is cut into its weights afterwards."""
    weights = list(network.parameters())
    for _ in range(climbs):
        network.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        whole = torch.cat([weight.grad.flatten() for weight in weights])
        moved = torch.cat([weight.detach().flatten() for weight in weights]) + rho / climbs * whole / whole.norm()
        for weight, own in zip(weights, moved.split([weight.numel() for weight in weights]), strict=True):
            weight.data.copy_(own.view_as(weight))


@pytest.fixture
def teacher(generator):
    return make_network("convnet-d2-w4-bn", InputShape(3, 8, 4), generator).double().eval().requires_grad_(False)


def test_the_teacher_climbs_its_own_loss_from_where_it_was_trained(teacher, generator):
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=generator)
    labels, other = torch.arange(4), copy.deepcopy(teacher).requires_grad_()
    before = F.cross_entropy(teacher(images), labels)
    directed = DirectedWeights(teacher)
    directed.climb(images.flip(0), labels, 2, 0.7)  # what was climbed for another batch is undone
    directed.climb(images, labels, 3, 0.5)
    naive_climb(other, images, labels, 3, 0.5)
    for found, wanted in zip(teacher.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-12, atol=1e-12)
        assert not found.requires_grad
    assert F.cross_entropy(teacher(images), labels) > before


def test_without_climbs_the_teacher_stays_as_it_is(teacher, generator):
    own = copy.deepcopy(teacher.state_dict())
    DirectedWeights(teacher).climb(torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.arange(4), 0, 0.5)
    assert all(torch.equal(own[name], value) for name, value in teacher.state_dict().items())


def naive_run(network, start: Tensor, labels: Tensor, steps: int, bounds: tuple[float, float]) -> Tensor:
    """The paper's loop for one image of each label in float64, without crops and rolls."""
    images = start.double().requires_grad_()
    naive_climb(network.requires_grad_(), start.double(), labels, 3, 0.015)
    optimiser = torch.optim.Adam([images], betas=(0.5, 0.9))
    layers, seen = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)], []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for step in range(steps):
        seen.clear()
        loss = F.cross_entropy(network(images), labels)
        for factor, layer, inputs in zip((10.0, 1.0), layers, seen, strict=True):
            mean = inputs.mean((0, 2, 3))
            variance = (inputs - mean.view(1, -1, 1, 1)).square().mean((0, 2, 3))
            for weight, found, wanted in ((3.0, variance, layer.running_var), (1.0, mean, layer.running_mean)):
                loss = loss + 0.5 * factor * weight * (found - wanted).square().sum().sqrt()
        optimiser.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        images.data.clamp_(*bounds)
    return images.detach()


def context(folder, train, tmp_path, **more):
    return RunContext(CPU, torch.Generator().manual_seed(8), tmp_path, foundation=folder, **more)


@pytest.mark.usefixtures("own_cache")
def test_a_whole_run_is_the_papers_loop_from_real_images(tmp_path):
    real = load_dataset("digits")
    method = make_method("dwa", {**EXACT, "classes_at_once": 5})
    (folder,), _ = make_foundations(method, real.train, RunContext(CPU, torch.Generator(), tmp_path))
    still = make_method("dwa", {**EXACT, "steps": 1, "lr": 1e-9, "climbs": 0})
    start = still.distill(real.train, 1, context(folder, real.train, tmp_path)).images
    assert all(
        (real.train.images[real.train.of_class(label)] == image).flatten(1).all(1).any()
        for label, image in enumerate(start)
    )
    made = method.distill(real.train, 1, context(folder, real.train, tmp_path))
    teacher = load_teacher(method.config, real.train, context(folder, real.train, tmp_path)).double()
    mean, std = real.info.mean[0], real.info.std[0]
    bounds, started = (-mean / std, (1 - mean) / std), real.info.normalise(start.float() / 255)
    halves = torch.arange(10).split(5)  # each from the teacher's own weights
    exact = torch.cat([naive_run(copy.deepcopy(teacher), started[half], half, 8, bounds) for half in halves])
    assert (made.images.double() - (exact * std + mean) * 255).abs().max() <= 0.51  # half a shade of rounding


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("killed_at", [3, 11])
def test_a_killed_run_goes_on_with_the_shifted_teacher(killed_at, tmp_path):
    train = load_dataset("digits").train
    method = make_method("dwa", {**EXACT, "roll": 2})
    (folder,), _ = make_foundations(method, train, RunContext(CPU, torch.Generator(), tmp_path))
    whole = method.distill(train, 2, context(folder, train, tmp_path))
    keeper = Keeper(killed_at)
    with pytest.raises(KilledError):
        method.distill(train, 2, context(folder, train, tmp_path, track=keeper))
    again = method.distill(train, 2, context(folder, train, tmp_path, track=keeper))
    assert torch.equal(again.images, whole.images)


@pytest.mark.usefixtures("own_cache")
def test_climbing_changes_the_set():
    settings = {**TEACHER, "steps": 5}
    with_climbs, without = (
        distill("dwa", "digits", 1, config={**settings, "climbs": climbs, "rho": 0.5}) for climbs in (4, 0)
    )
    assert not torch.equal(with_climbs.images, without.images)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (32, DirectedRecipe(1000, 0.25, 0.01, 4, "none", 11.0, 12, 100)),
        (64, DirectedRecipe(2000, 0.1, 0.01, 4, "constant", 11.0, 12, 200)),
        (224, DirectedRecipe(2000, 0.25, 0.01, 32, "constant", 2.0, 15, 100)),
        (300, DirectedRecipe(2000, 0.25, 0.01, 32, "constant", 2.0, 15, 100)),
    ],
)
def test_recipes_are_the_authors_by_size_and_settings_take_their_place(side, expected):
    info = replace(load_dataset("digits").info, image_size=side)
    assert make_method("dwa").recipe(info) == expected
    changed = make_method("dwa", {"climbs": 0, "variance_weight": 0.0, "crop_schedule": "curriculum"}).recipe(info)
    assert changed == replace(expected, climbs=0, variance_weight=0.0, crop_schedule="curriculum")


def test_more_images_than_a_class_has_are_unsupported():
    train = load_dataset("digits").train
    assert "ipc must be 1.." in make_method("dwa", TEACHER).unsupported(train, 500)
    assert "has no batch norm" in make_method("dwa", {"teacher_network": "convnet-d1-w8"}).unsupported(train, 1)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dwa", {"rho": 1e18}),
        ("dwa", {"variance_weight": 1e20, "statistics_weight": 1e20}),
        ("dwa", {"rho": 1e12}),
        ("sre2l", {"statistics_weight": 1e30}),
    ],
)
def test_images_that_diverge_are_an_error_and_no_black_set(name, settings):
    with pytest.raises(DivergenceError, match="recovering images diverged, to values that are not finite; lower lr"):
        distill(name, "digits", 1, config={**TEACHER, "steps": 5, **settings})
