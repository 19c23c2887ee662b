"""Permutation tests: against naive enumeration, repeatable, degenerate values."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from ddbench.analysis.permutation import permutation_difference
from ddbench.analysis.significance import difference_of_means, paired_difference, smallest_p

A, B = [50.1, 51.7, 49.2, 50.8, 52.0], [48.9, 51.1, 49.8, 49.1, 51.3]


def test_a_paired_permutation_tries_every_sign():
    differences = np.subtract(A, B)
    means = [np.mean(differences * signs) for signs in product([1, -1], repeat=5)]
    found = permutation_difference(A, B, paired=True)
    assert found.p == pytest.approx(np.mean(np.array(means) >= differences.mean() - 1e-12))
    assert found.test == "paired permutation"
    assert (found.effect, found.low, found.high) == (
        (plain := paired_difference(A, B)).effect,
        plain.low,
        plain.high,
    )


@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_a_permutation_tries_every_split(margin):
    pooled = np.array([value + margin for value in A] + B)
    splits = [np.isin(range(10), chosen) for chosen in combinations(range(10), 5)]
    gaps = np.array([pooled[split].mean() - pooled[~split].mean() for split in splits])
    found = permutation_difference(A, B, paired=False, margin=margin)
    assert found.p == pytest.approx(np.mean(gaps >= gaps[0] - 1e-12))
    assert found.effect == difference_of_means(A, B).effect


def test_complete_separation_gives_the_smallest_p():
    for paired, alternative in product((True, False), ("greater", "two-sided")):
        found = permutation_difference(np.add(A, 20), B, paired, alternative=alternative)
        assert found.p == pytest.approx(smallest_p(found.test, found.n, alternative))


def test_drawn_permutations_repeat_and_reach_the_smallest_p():
    many = np.linspace(0, 1, 20)
    found = permutation_difference(many + 5, many, paired=False, seed=3)
    assert found == permutation_difference(many + 5, many, paired=False, seed=3)
    assert found.p == smallest_p(found.test, found.n) == 1 / 10_000
