"""Tests of the scores that images get while a network learns them, against loops over the papers' definitions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ddbench.dataset import load_dataset
from ddbench.method import make_method
from ddbench.methods._coresets.training_scores import SCORES_FILE, TrainingScores, highest, judge
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.runs.distill import distill
from ddbench.runs.preparation import prepared_key
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan, forward_in_chunks
from ddbench.students.trainer import train_network


def naive_scores(epochs: list[list[list[float]]], labels: list[int], early: int) -> dict[str, list[float]]:
    """The definitions, image by image: one list of (N, K) probabilities an epoch."""
    found: dict[str, list[float]] = {"forgotten": [], "el2n": [], "margin": []}
    for image, label in enumerate(labels):
        rows = [epoch[image] for epoch in epochs]
        right = [row.index(max(row)) == label for row in rows]
        times = sum(before and not after for before, after in pairwise(right))
        found["forgotten"].append(times if any(right) else math.inf)
        errors = [math.dist(row, [float(k == label) for k in range(len(row))]) for row in rows[:early]]
        found["el2n"].append(sum(errors) / len(errors))
        found["margin"].append(sum(row[label] - max(p for k, p in enumerate(row) if k != label) for row in rows))
    return found


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), epochs=st.integers(1, 6), early=st.integers(1, 8), classes=st.integers(2, 4))
def test_scores_are_those_of_a_loop_over_images_and_epochs(seed, epochs, early, classes):
    draws = torch.Generator().manual_seed(seed)
    rows = (3 * torch.randn(epochs, 9, classes, dtype=torch.float64, generator=draws)).softmax(2)
    labels = torch.randint(classes, (9,), generator=draws)
    scores = TrainingScores(len(labels), early)
    for probabilities in rows:
        scores.update(judge(probabilities.log(), labels))
    expected = naive_scores(rows.tolist(), labels.tolist(), early)
    for name, tensor in scores.tensors().items():
        assert tensor.tolist() == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name


def test_an_image_that_was_never_right_is_forgotten_before_all_others():
    labels = torch.tensor([0, 0, 0])
    scores = TrainingScores(len(labels), 10)
    for right in ((1, 0, 1), (0, 0, 1), (1, 0, 1), (0, 0, 1)):
        rows = torch.tensor([[0.9, 0.1] if is_right else [0.1, 0.9] for is_right in right])
        scores.update(judge(rows.log(), labels))
    assert scores.tensors()["forgotten"].tolist() == [2, math.inf, 0]
    assert highest(scores.tensors()["forgotten"], 3).tolist() == [1, 0, 2]


def test_of_equal_scores_the_first_come_first():
    assert highest(torch.tensor([1.0, 3, 1, 3, 1]), 4).tolist() == [1, 3, 0, 2]


def test_watching_does_not_change_what_is_trained(own_cache):
    """The last margins are those of the network that the same training gives when nobody looks."""
    real = load_dataset("digits").train
    settings = {"score_network": "convnet-d1-w8-bn", "score_epochs": 1, "el2n_epochs": 1}
    distill("el2n", "digits", 1, seed=5, config=settings)
    (path,) = own_cache.rglob(SCORES_FILE)
    generator = make_generator(5, "prepare", "digits")
    network = make_network("convnet-d1-w8-bn", InputShape.of(real.info), generator)
    plan = TrainingPlan(Schedule(epochs=1, drop_at=1), 0.01, 128, "")
    train_network(network, real, plan, generator)
    rows = forward_in_chunks(network, real, torch.device("cpu")).softmax(1)
    own = rows.gather(1, real.labels[:, None])[:, 0]
    others = rows.scatter(1, real.labels[:, None], -1.0).amax(1)
    assert torch.allclose(load_file(path)["margin"], own - others, atol=1e-5)


def test_all_methods_of_this_kind_share_one_folder():
    real = load_dataset("digits").train
    given = {"forgetting": {}, "el2n": {}, "ccs": {"hard_fraction": 0.1, "strata": 9}}
    keys = {prepared_key(name, make_method(name, settings), real, 0).digest for name, settings in given.items()}
    assert len(keys) == 1
