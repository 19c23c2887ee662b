"""Tests of greedy k-center, against a search that measures every distance anew."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from ddbench.methods.k_center import choose_centers


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def naive_centers(rows: list[list[float]], count: int) -> list[int]:
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    chosen = [min(range(len(rows)), key=lambda i: squared(rows[i], mean))]
    while len(chosen) < count:
        free = [i for i in range(len(rows)) if i not in chosen]
        chosen.append(max(free, key=lambda i: min(squared(rows[i], rows[c]) for c in chosen)))
    return chosen


def radius(rows: list[list[float]], centers: list[int]) -> float:
    return max(min(squared(row, rows[c]) for c in centers) for row in rows) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_centers_equal_the_exhaustive_search(seed):
    features = torch.randn(15, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert choose_centers(features, 15).tolist() == naive_centers(features.tolist(), 15)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_no_choice_of_centers_halves_the_radius(count):
    # The greedy choice's guarantee: at most twice the best radius.
    features = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    rows = features.tolist()
    best = min(radius(rows, list(centers)) for centers in combinations(range(9), count))
    assert radius(rows, choose_centers(features, count).tolist()) <= 2 * best


def test_smaller_sets_begin_larger_ones():
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(choose_centers(features, n), choose_centers(features, 20)[:n]) for n in range(1, 20))


def test_duplicates_are_chosen_once_each():
    assert sorted(choose_centers(torch.ones(6, 3), 6).tolist()) == list(range(6))


def test_features_are_not_modified():
    features = torch.randn(6, 3)
    before = features.clone()
    choose_centers(features, 4)
    assert torch.equal(features, before)
