"""What a table takes grows in proportion to its results, counted in calls: no busy machine changes that."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from ddbench.analysis import aggregate
from ddbench.analysis.comparison import Side, compare_methods, compare_sides
from ddbench.tables.table import make_table
from tests.tables._made import make_result

MOST_TIMES = 2.3  # of twice the results; in proportion it is 2


def sweep(settings):
    """One method with many settings, two seeds each."""
    return [
        make_result(seed=seed, values=(0.3 + step / 9999, 0.5), config={"steps": step, "lr": 0.1})
        for step in range(settings)
        for seed in range(2)
    ]


def wide(methods):
    """Many methods at two IPCs, two seeds each."""
    return [
        make_result(f"method_{number:04}", ipc, seed, (0.3 + number / 9999, 0.5))
        for number in range(methods)
        for ipc in (1, 10)
        for seed in range(2)
    ]


def calls_of(work):
    """Return how many calls of Python functions, and steps of generators, a piece of work takes."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("shape", [sweep, wide])
def test_twice_the_results_take_a_table_twice_the_calls(shape, published):
    make_table(shape(2), published=published, gain=True)  # what is done once
    few, many = (calls_of(lambda n=n: make_table(shape(n), published=published, gain=True)) for n in (100, 200))
    assert many <= MOST_TIMES * few


def test_twice_the_results_take_a_comparison_of_methods_twice_the_calls():
    few, many = (calls_of(lambda n=n: compare_methods("method_0000", "method_0001", wide(n))) for n in (100, 200))
    assert many <= MOST_TIMES * few


def test_settings_that_differ_are_looked_for_once_a_method(monkeypatch):
    asked = Counter()
    plain = aggregate.varying_keys

    def counted(configs):
        asked["times"] += 1
        return plain(configs)

    monkeypatch.setattr(aggregate, "varying_keys", counted)
    entries = aggregate.make_entries(
        sweep(50) + [make_result("dc", config={"steps": s}) for s in (1, 2)], with_hash=False
    )
    assert (len(entries), asked["times"]) == (52, 2)


def test_settings_of_two_folders_are_matched_in_proportion():
    def work(count):
        return calls_of(lambda: compare_sides(Side("A", tuple(sweep(count))), Side("B", tuple(sweep(count)))))

    assert work(100) <= MOST_TIMES * work(50)
