"""Tests of herding, against a search through every row with plain sums."""

from __future__ import annotations

import pytest
import torch

from ddbench.methods.herding import herd


def naive_herding(rows: list[list[float]], count: int) -> list[int]:
    width = range(len(rows[0]))
    mean = [sum(row[d] for row in rows) / len(rows) for d in width]
    chosen: list[int] = []
    for _ in range(count):
        gaps = {}
        for candidate in range(len(rows)):
            if candidate not in chosen:
                members = [*chosen, candidate]
                centre = [sum(rows[i][d] for i in members) / len(members) for d in width]
                gaps[candidate] = sum((mean[d] - centre[d]) ** 2 for d in width)
        chosen.append(min(gaps, key=gaps.__getitem__))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_herding_equals_the_exhaustive_search(seed):
    features = torch.randn(15, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert herd(features, 15).tolist() == naive_herding(features.tolist(), 15)


def test_the_first_row_is_the_nearest_to_the_mean_and_the_next_mends_what_it_leaves():
    # The mean is 1. Row 2 (0.9) is nearest; with it, 1.2 brings the mean of two to 1.05 and 0.2 only to 0.55.
    features = torch.tensor([[0.2], [1.2], [0.9], [1.7]], dtype=torch.float64)
    assert herd(features, 2).tolist() == [2, 1]


def test_smaller_sets_begin_larger_ones():
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(herd(features, count), herd(features, 20)[:count]) for count in range(1, 20))


def test_duplicates_are_chosen_once_each():
    assert sorted(herd(torch.ones(6, 3), 6).tolist()) == list(range(6))


def test_features_are_not_modified():
    features = torch.randn(6, 3)
    before = features.clone()
    herd(features, 4)
    assert torch.equal(features, before)
