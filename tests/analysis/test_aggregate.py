"""The arithmetic of entries: spreads, medians, counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.analysis.aggregate import TIMES, costs_of, spread_of, varying_keys
from tests.tables._made import GPU, MIB, make_result, notes_of, only_panel, phase, pivot


def test_students_are_averaged_per_set_before_the_spread_is_taken():
    results = [make_result(seed=0, values=(0.2, 0.4)), make_result(seed=1, values=(0.5, 0.5, 0.8))]
    spread = spread_of(results, "test_accuracy")
    # Sets 30 and 60: mean 45, sample standard deviation 15 * sqrt 2. Pooled students would give mean 48.
    assert spread.mean == pytest.approx(45)
    assert spread.std == pytest.approx(15 * math.sqrt(2))
    assert (spread.seeds, spread.students) == (2, (2, 3))
    assert spread.counts == f"2 seeds {TIMES} 2-3 students"
    assert pivot(results).loc["dm", "IPC 10"] == "45.0 ± 21.2"


def test_evaluation_seeds_of_one_set_count_as_students_of_that_set():
    results = [make_result(values=(0.2,), eval_seed=0), make_result(values=(0.4,), eval_seed=1)]
    spread = spread_of(results, "test_accuracy")
    assert (spread.mean, spread.std, spread.seeds, spread.students) == (pytest.approx(30), None, 1, (2, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=5))
def test_spread_equals_a_naive_loop(sets):
    spread = spread_of([make_result(seed=i, values=tuple(v)) for i, v in enumerate(sets)], "test_accuracy")
    means = []
    for values in sets:
        total = 0.0
        for value in values:
            total += 100 * value
        means.append(total / len(values))
    mean = sum(means) / len(means)
    assert spread.mean == pytest.approx(mean, abs=1e-9)
    if len(means) == 1:
        assert spread.std is None
    else:
        variance = sum((m - mean) ** 2 for m in means) / (len(means) - 1)
        assert spread.std == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_one_seed_has_no_spread_and_says_so():
    results = [make_result(values=(0.5, 0.6))]
    assert pivot(results).loc["dm", "IPC 10"] == "55.0"
    assert "no spread" in notes_of(results)


def test_costs_are_medians_and_the_peak_is_that_of_making_the_set():
    results = [
        make_result(
            seed=seed, machine=GPU, phases=(phase("prepare", 100, gpu=5 * MIB), phase("distill", s, gpu=g * MIB))
        )
        for seed, (s, g) in enumerate([(1, 1), (2, 9), (90, 2)])
    ]
    costs = costs_of(results)
    assert costs["distill_seconds"] == 2
    assert costs["prepare_seconds"] == 100
    assert costs["evaluate_seconds"] is None
    assert costs["distill_peak_allocated_bytes"] == 2 * MIB
    assert costs["making_peak_allocated_bytes"] == 5 * MIB  # of 5, 9, 5
    row = only_panel(results).cost.iloc[0]
    assert row["GPU allocated"] == "5.0 MiB"
    assert row["GPU reserved"] == "10.0 MiB"
    assert row["set size"] == "1.0 KiB"


def test_varying_keys_are_those_whose_values_differ_or_are_missing():
    assert varying_keys([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None}]) == ("b", "c")
