"""Tests of students trained at once: each is the student that `train_student` makes alone, in float64 to 1e-10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ddbench.augment.dsa import apply_dsa, draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.students import batched
from ddbench.students.batched import (
    augment_together,
    batches_ahead,
    fitting_students,
    students_at_once,
    together_unsupported,
    train_students,
)
from ddbench.students.loop import StudentDivergedError, TrainingPlan, TrainingSet, train_student
from tests._toy import INFO

CPU = torch.device("cpu")
# 15 steps of batches of 4, 4 and 2 images; the rate drops, and the momentum begins anew, before the tenth.
IMAGENET_HARD = PROTOCOLS.get("imagenet-hard")
PLAN = TrainingPlan(schedule=Schedule(epochs=5, drop_at=3), lr=0.05, batch_size=4, augmentation=DSA_STRATEGY)
SEEDS = (10, 11, 12)
FORMS = ("stacked", "side by side")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy_set(*, soft: bool = False, dtype: torch.dtype = torch.float64, device: torch.device = CPU) -> TrainingSet:
    generator = seeded(1)
    images = torch.randn(10, 3, 8, 8, dtype=torch.float64, generator=generator).to(device, dtype)
    labels = torch.randint(3, (10,), generator=generator)
    weights = torch.rand(10, 3, dtype=torch.float64, generator=generator)
    given = (weights / weights.sum(1, keepdim=True)).to(dtype) if soft else labels
    return TrainingSet(images, given.to(device), INFO)


def fresh(spec: str, data: TrainingSet, seeds: Sequence[int] = SEEDS) -> list[Network]:
    dtype = data.images.dtype if data.images.is_floating_point() else torch.float32
    return [make_network(spec, InputShape.of(INFO), seeded(seed)).to(data.device, dtype) for seed in seeds]


def stacked_parameters(networks: Iterable[Network]) -> Tensor:
    return torch.stack([torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks])


def one_by_one(spec: str, data: TrainingSet, plan: TrainingPlan, seeds: Sequence[int] = SEEDS) -> Tensor:
    networks = fresh(spec, data, seeds)
    for network, seed in zip(networks, seeds, strict=True):
        train_student(network, data, plan, seeded(100 + seed))
    return stacked_parameters(networks)


def at_once(spec: str, data: TrainingSet, plan: TrainingPlan, seeds: Sequence[int] = SEEDS, **options: Any) -> Tensor:
    networks = fresh(spec, data, seeds)
    train_students(networks, data, plan, [seeded(100 + seed) for seed in seeds], **options)
    return stacked_parameters(networks)


def assert_equal_students(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() < 1e-10
    # Nor is it because all students are one.
    assert all((expected[0] - other).abs().max() > 1e-3 for other in expected[1:])


@cache
def alone(spec: str, soft: bool) -> Tensor:
    return one_by_one(spec, toy_set(soft=soft), PLAN)


# The wide network takes longest: two of its eight settings have every option once.
EVERY_OPTION = list(product(FORMS, (False, True), (False, True)))
SETTINGS = [(spec, *options) for spec in ("convnet-d3-w8", "mlp") for options in EVERY_OPTION]
SETTINGS += [("convnet-d3", "stacked", False, False), ("convnet-d3", "side by side", True, True)]


@pytest.mark.parametrize(("spec", "form", "soft", "static"), SETTINGS)
def test_students_are_those_of_sequential_training(spec, form, soft, static):
    assert_equal_students(at_once(spec, toy_set(soft=soft), PLAN, form=form, static=static), alone(spec, soft))


def test_students_of_half_precision_are_those_of_sequential_training():
    plan, data = replace(PLAN, precision="bf16"), toy_set(dtype=torch.float32)
    # Without a norm, whose sums in another order tip roundings to half precision, and these everything after them.
    spec = "convnet-d2-w8-none"
    found, expected = at_once(spec, data, plan), one_by_one(spec, data, plan)
    assert (one_by_one(spec, data, PLAN) - expected).abs().max() > 1e-4
    assert (found - expected).abs().max() < 1e-6


def test_students_draw_different_strategies_in_one_step():
    generators = [seeded(100 + seed) for seed in SEEDS]
    steps = list(batched._draws(10, PLAN, generators))
    strategies = [{draw.strategy for draw in draws} for _, draws in steps]
    assert [indices.shape for indices, _ in steps] == [(3, 4), (3, 4), (3, 2)] * 5
    assert {len(names) for names in strategies} == {2, 3}
    assert set().union(*strategies) == set(DSA_STRATEGY.split("_"))


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": ""},
        {"augmentation": "crop_scale_rotate", "batch_size": 1},
        {"resets_momentum": False},
        {"schedule": Schedule(epochs=5, drop_at=2, later_drops=(3, 3)), "lr_drop": 0.3},
        {"schedule": Schedule(epochs=4, drop_at=9), "batch_size": 100},
        {"momentum": 0.0, "weight_decay": 0.1},
    ],
)
def test_every_constant_of_the_plan_counts_as_it_does_alone(changes):
    plan, data = replace(PLAN, **changes), toy_set()
    assert_equal_students(at_once("convnet-d1-w4", data, plan, static=True), one_by_one("convnet-d1-w4", data, plan))


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": Schedule(epochs=5, drop_at=4)},
        {"resets_momentum": False},
        {"weight_decay": 0.0},
        {"momentum": 0.8},
        {"augmentation": "crop_scale"},
    ],
)
def test_what_students_are_compared_on_matters(changes):
    data = toy_set()
    usual, changed = at_once("mlp-w4", data, PLAN), at_once("mlp-w4", data, replace(PLAN, **changes))
    assert (usual - changed).abs().max() > 1e-6


def test_more_students_leave_the_others_as_they_are():
    data = toy_set()
    assert torch.equal(at_once("mlp-w4", data, PLAN)[:2], at_once("mlp-w4", data, PLAN, SEEDS[:2]))


def test_pixels_are_normalised_and_trained_on():
    pixels = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8, generator=seeded(2))
    data = TrainingSet(pixels, torch.arange(10) % 3, INFO)
    torch.testing.assert_close(at_once("mlp-w4", data, PLAN), one_by_one("mlp-w4", data, PLAN))


@pytest.mark.parametrize("values", [1, 3 * 4 * 3 * 64 * 4, 2**25])
def test_how_far_ahead_batches_are_made_changes_none_of_them(values, monkeypatch):
    generators = [[seeded(seed) for seed in SEEDS] for _ in range(2)]
    expected = list(batches_ahead(toy_set(soft=True), PLAN, generators[0]))
    monkeypatch.setattr(batched, "AHEAD_VALUES", values)
    found = list(batches_ahead(toy_set(soft=True), PLAN, generators[1]))
    assert len(found) == len(expected) == 15
    for ours, theirs in zip(found, expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    # The draws are used up: nothing is drawn that sequential training would not draw.
    states = [[generator.get_state() for generator in group] for group in generators]
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 2**31))
def test_every_image_is_augmented_as_by_its_own_draw(sizes, seed):
    generator = seeded(seed)
    images = torch.randn(sum(sizes), 3, 8, 8, generator=generator)
    draws = [draw_dsa(generator, DSA_STRATEGY, size) for size in sizes]
    expected = [apply_dsa(part, draw) for part, draw in zip(images.split(sizes), draws, strict=True)]
    torch.testing.assert_close(augment_together(images, draws), torch.cat(expected))


def test_the_global_generator_is_not_used():
    before = torch.get_rng_state()
    at_once("mlp-w4", toy_set(), PLAN)
    together_unsupported(fresh("mlp-w4", toy_set())[0], toy_set(), PLAN, has_teacher=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_is_tracked_by_epochs():
    shown = []

    def track(iterable: Iterable[Any], description: str, state: object = None) -> Iterator[Any]:
        for item in iterable:
            shown.append((description, item))
            yield item

    at_once("mlp-w4", toy_set(), PLAN, track=track)
    assert shown == [("training 3 students", epoch) for epoch in range(5)]


def test_divergence_is_an_error_that_counts_the_students():
    with pytest.raises(StudentDivergedError, match="3 of 3 students are not finite after 5 epochs at lr 1e\\+300"):
        at_once("mlp-w4", toy_set(), replace(PLAN, lr=1e300))


class Layered(Network):
    """A network of a plug-in, with a layer of one's own between two linear ones."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(192, 4), layer, nn.Linear(4, 3)

    def embed(self, images: Tensor) -> Tensor:
        return self.layer(self.first(images.flatten(1)))

    def classify(self, embeddings: Tensor) -> Tensor:
        return self.last(embeddings)


def by_values(features: Tensor) -> Tensor:
    return features * 2 if features.sum() > 0 else features


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Dropout(0.5), "the network cannot be vectorised: .*random"),
        (lambda features: F.dropout(features, 0.5), "the network cannot be vectorised: .*random"),
        (by_values, "the network cannot be vectorised: "),
        (nn.BatchNorm1d(4), "the network keeps running statistics"),
        (nn.BatchNorm1d(4, track_running_stats=False), "the network keeps running statistics"),
    ],
)
def test_networks_that_cannot_be_trained_at_once_say_why(layer, reason):
    found = together_unsupported(Layered(layer), toy_set(dtype=torch.float32), PLAN, has_teacher=False)
    assert found is not None
    assert re.match(reason, found), found


def test_sets_and_protocols_that_cannot_be_trained_at_once_say_why():
    network, data = fresh("mlp-w4", toy_set())[0], toy_set()
    streamed = replace(data, source=data.images)
    mixed = replace(PLAN, cutmix=IMAGENET_HARD.cutmix)
    cropped = replace(PLAN, image_augmentation=IMAGENET_HARD.image_augmentation)
    assert together_unsupported(network, data, PLAN, has_teacher=True) == "a teacher labels every batch"
    assert together_unsupported(network, streamed, PLAN, has_teacher=False) == "images are read batch by batch"
    for plan in (mixed, cropped):
        reason = together_unsupported(network, data, plan, has_teacher=False)
        assert reason == "the protocol's augmentation is not DSA"


SPECS = ("convnet-d2-w4", "convnet-d1-w4-ln-max", "convnet-d1-w4-gn-sigmoid", "mlp-w4", "resnet_ap10", "vgg11", "lenet")


@pytest.mark.parametrize("spec", SPECS)
def test_families_without_batch_norm_can_be_trained_at_once(spec):
    info = replace(INFO, image_size=32)
    data = TrainingSet(torch.zeros(4, 3, 32, 32), torch.arange(4) % 3, info)
    network = make_network(spec, InputShape.of(info), seeded(0))
    assert together_unsupported(network, data, PLAN, has_teacher=False) is None


def test_the_number_at_once_follows_from_the_memory_that_one_student_needs():
    table = {gib: fitting_students(gib * 2**30, 2**30) for gib in (1, 2, 8, 24, 40, 80)}
    assert table == {1: 1, 2: 1, 8: 4, 24: 12, 40: 20, 80: 20}
    assert fitting_students(8 * 2**30, 0) == 20


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", ["convnet-d3", "convnet-d3-w8", "mlp"])
@pytest.mark.parametrize("soft", [False, True])
def test_captured_steps_on_a_gpu_are_those_of_sequential_training(spec, soft, form):
    data = toy_set(soft=soft, device=torch.device("cuda"))
    networks = fresh(spec, data)
    how = train_students(networks, data, PLAN, [seeded(100 + seed) for seed in SEEDS], form=form)
    assert how.mode == f"{form}, CUDA graph"
    assert len(how.captures) == 2  # batches of 4 images and of 2
    assert_equal_students(stacked_parameters(networks), one_by_one(spec, data, PLAN))


@pytest.mark.gpu
def test_a_gpu_trains_as_many_at_once_as_its_memory_holds():
    data = toy_set(dtype=torch.float32, device=torch.device("cuda"))
    assert students_at_once(fresh("convnet-d1-w4", data)[0], data, PLAN) == 20
    images, labels = torch.zeros(200, 3, 32, 32), torch.zeros(200, dtype=torch.int64)
    wide = replace(data, images=images.cuda(), labels=labels.cuda())
    network = make_network("convnet-d3", InputShape(3, 32, 3), seeded(0)).cuda()
    assert 1 <= students_at_once(network, wide, replace(PLAN, batch_size=200)) <= 20
