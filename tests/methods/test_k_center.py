"""Tests of greedy k-center, against a search over all pairs of images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.method import make_method
from ddbench.methods.herding import herd
from ddbench.methods.k_center import choose_centers


def squared(one: list[float], other: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def naive_centers(features: list[list[float]], count: int) -> list[int]:
    everyone = range(len(features))
    mean = [sum(row[d] for row in features) / len(features) for d in range(len(features[0]))]
    chosen = [min(everyone, key=lambda i: squared(features[i], mean))]
    while len(chosen) < count:
        free = [i for i in everyone if i not in chosen]
        chosen.append(max(free, key=lambda i: min(squared(features[i], features[j]) for j in chosen)))
    return chosen


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), width=st.integers(1, 6))
def test_centres_are_those_of_the_exhaustive_search(seed, count, width):
    features = torch.randn(12, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert choose_centers(features, count).tolist() == naive_centers(features.tolist(), count)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=10))
def test_centres_are_distinct_even_where_features_are_not(rows):
    features = torch.tensor(rows, dtype=torch.float32)
    assert sorted(choose_centers(features, len(rows)).tolist()) == list(range(len(rows)))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_no_image_is_more_than_twice_as_far_as_in_the_best_choice(seed):
    # The guarantee of the greedy algorithm, against every choice of two centres.
    features = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    distances = torch.cdist(features, features)
    radius = distances[choose_centers(features, 2)].amin(0).amax()
    best = min(distances[[i, j]].amin(0).amax() for i in range(8) for j in range(i))
    assert radius <= 2 * best + 1e-9


def test_smaller_choices_begin_larger_ones_and_the_first_is_that_of_herding(toy_features):
    longest = choose_centers(toy_features, 20).tolist()
    assert all(choose_centers(toy_features, count).tolist() == longest[:count] for count in range(1, 20))
    assert longest[:1] == herd(toy_features, 1).tolist()


def test_features_are_left_as_they_are(toy_features):
    before = toy_features.clone()
    choose_centers(toy_features, 5)
    assert torch.equal(toy_features, before)


@pytest.mark.parametrize("ipc", [1, 4, 7])
def test_the_set_holds_the_centres_of_every_class(ipc, toy, toy_features, prepared):
    distilled = make_method("k_center").distill(toy, ipc, prepared)
    expected = []
    for label in range(3):
        members = [i for i in range(27) if int(toy.labels[i]) == label]
        expected += [members[i] for i in naive_centers(toy_features[members].double().tolist(), ipc)]
    assert distilled.provenance["selected_indices"] == expected
    assert torch.equal(distilled.images, toy.images[expected])
    assert distilled.labels.tolist() == toy.labels[expected].tolist()
    assert (distilled.ipc, distilled.space) == (ipc, "pixels")
