"""Tests of what a report says first."""

from __future__ import annotations

import pytest

from ddbench.analysis.aggregate import GAP
from ddbench.analysis.marks import mark_entries
from ddbench.report.summary import names_in, summary_rows
from tests.report._results import only_panel, varied


def rows(results):
    entries = only_panel(results).entries
    return summary_rows(entries, mark_entries(entries))


def test_best_method_with_its_equals_gain_and_share_of_the_whole_set():
    means = {"random_real": 0.5, "dm": 0.8, "herding": 0.795}
    found = [
        varied(method, ipc, seed, (mean + 0.01 * (seed - 1),))
        for method, mean in means.items()
        for ipc in (10, 1)
        for seed in (0, 1, 2)
    ]
    first, second = rows([*found, varied("full_real", None, 0, (0.96,))])
    assert (first.ipc, second.ipc) == (1, 10)
    assert (first.best, first.same, first.methods) == ("dm", "herding", ("dm", "herding"))
    assert first.accuracy.startswith("80.0")
    assert first.gain.startswith("+30.0 [")
    assert float(first.share) == pytest.approx(100 * 80 / 96, abs=0.05)


def test_what_is_missing_is_a_dash_and_a_single_method_is_no_comparison():
    (row,) = rows([varied(method, 1, seed, (0.5 + 0.01 * seed,)) for method in ("dm", "dc") for seed in (0, 1)])
    assert (row.gain, row.share) == (GAP, GAP)
    assert rows([varied("dm", 1, 0)]) == ()


def test_names_are_found_as_whole_words():
    assert names_in("dm on fashion_mnist: failed", ("dm", "mnist", "fashion_mnist", "d")) == ("dm", "fashion_mnist")


def test_there_is_no_share_of_a_whole_set_that_taught_nothing():
    found = [varied(method, 1, seed, (0.1,)) for method in ("dm", "dc") for seed in (0, 1)]
    assert rows([*found, varied("full_real", None, 0, (0.0,))])[0].share == GAP


def test_altered_results_are_neither_the_baseline_nor_the_whole_set():
    found = [varied(method, 1, seed, (0.5 + 0.1 * seed,)) for method in ("dm", "dc") for seed in (0, 1)]
    ends = [varied("random_real", 1, seed, (0.1,)) for seed in (0, 1)] + [varied("full_real", None, 0, (0.9,))]
    assert GAP not in (rows([*found, *ends])[0].gain, rows([*found, *ends])[0].share)
    altered = [result.standing_as("altered") for result in ends]
    assert (rows([*found, *altered])[0].gain, rows([*found, *altered])[0].share) == (GAP, GAP)
