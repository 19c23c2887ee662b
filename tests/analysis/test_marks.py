"""Tests of the marks beside numbers."""

from __future__ import annotations

import pytest
from scipy import stats

from ddbench.analysis.marks import explain_marks, mark_entries
from tests.report._results import only_panel, varied


def standings(**accuracies):
    """The standing of each method at IPC 10, given the accuracy of each seed."""
    results = [varied(name, 10, seed, (v,)) for name, found in accuracies.items() for seed, v in enumerate(found)]
    marks = mark_entries(only_panel(results).entries)
    return {row[0]: mark for (row, _), mark in marks.items()}


def test_best_close_and_far_methods_are_told_apart():
    marks = standings(a=(0.90, 0.91, 0.92), b=(0.895, 0.91, 0.918), c=(0.50, 0.51, 0.52))
    assert {name: mark.standing for name, mark in marks.items()} == {"a": "best", "b": "same", "c": "worse"}
    assert "not distinguishable" in marks["b"].words
    assert "-40.0 [" in marks["c"].words


def test_p_is_that_of_welch_corrected_by_holm():
    values = {"a": (0.90, 0.93, 0.92), "b": (0.88, 0.90, 0.87), "c": (0.86, 0.91, 0.83)}
    p = sorted(stats.ttest_ind(values[name], values["a"], equal_var=False).pvalue for name in "bc")
    corrected = [2 * p[0], max(2 * p[0], p[1])]
    words = [standings(**values)[name].words for name in "bc"]
    assert sorted(f"p {value:.3f}" in text for value in corrected for text in words) == [False, False, True, True]


def test_equal_sets_are_not_distinguishable_and_one_seed_is_not_tested():
    assert standings(a=(0.8, 0.9), b=(0.8, 0.9))["b"].standing == "same"
    marks = standings(a=(0.8, 0.9), b=(0.1,))
    assert marks["b"].standing == "untested"
    assert "one seed" in marks["b"].words


def test_the_whole_training_set_and_a_lone_number_have_no_mark():
    panel = only_panel([varied("dm", 10, 0), varied("full_real", None, 0, (0.99,)), varied("random_real", 1, 0)])
    assert mark_entries(panel.entries) == {}
    assert explain_marks(()) == ""


@pytest.mark.parametrize(
    ("accuracies", "words", "absent"),
    [
        ({"a": (0.9, 0.91), "b": (0.9, 0.91)}, ("\N{ALMOST EQUAL TO}", "Welch"), ("no mark", "one seed")),
        ({"a": (0.9, 0.901, 0.902), "b": (0.1, 0.101, 0.102)}, ("no mark: below", "Holm"), ("\N{ALMOST EQUAL TO}",)),
        ({"a": (0.9,), "b": (0.8,)}, ("one seed",), ("Welch", "no mark")),
    ],
)
def test_only_marks_that_stand_in_a_table_are_explained(accuracies, words, absent):
    text = explain_marks(standings(**accuracies).values())
    assert all(word in text for word in ("Bold", *words))
    assert not any(word in text for word in absent)
