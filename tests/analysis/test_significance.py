"""Tests of claims: against scipy's own tests, against naive formulas, properties, values without spread, bad input."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from ddbench.analysis.significance import (
    difference_of_means,
    equivalence,
    flatness,
    holm,
    linearity,
    mean_against,
    paired_difference,
    ratio,
    smallest_p,
)
from ddbench.errors import BadInputError

# Percent with three decimals: no spread is ever of the size of rounding, none is exactly at a border by chance alone.
PERCENT = st.integers(0, 100_000).map(lambda n: n / 1000)
SIDES = st.lists(st.tuples(PERCENT, PERCENT), min_size=2, max_size=8).map(lambda pairs: tuple(zip(*pairs, strict=True)))
COSTS = st.lists(st.integers(1, 10_000).map(float), min_size=2, max_size=6)
A, B, C = [50.1, 51.7, 49.2, 50.8, 52.0], [48.9, 51.1, 48.8, 49.1, 51.3], [47.0, 52.3, 49.9, 44.1, 50.5, 48.2, 51.0]


def spread(values) -> float:
    return float(np.std(values, ddof=1))


# Against scipy and naive formulas


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_paired_difference_equals_scipys_paired_t_test(alternative):
    found = paired_difference(A, B, alternative=alternative, level=0.9)
    reference = stats.ttest_rel(A, B, alternative=alternative)
    interval = stats.ttest_rel(A, B).confidence_interval(0.9)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert (found.effect, found.n, found.test) == (pytest.approx(np.mean(A) - np.mean(B)), (5,), "paired t")


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_difference_of_means_equals_scipys_welch_t_test(alternative):
    found = difference_of_means(A, C, alternative=alternative)
    reference = stats.ttest_ind(A, C, equal_var=False, alternative=alternative)
    interval = stats.ttest_ind(A, C, equal_var=False).confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert (found.n, found.test) == ((5, 7), "Welch t")


@pytest.mark.parametrize("margin", [1.5, -0.5])
def test_a_margin_shifts_the_hypothesis_and_not_the_effect(margin):
    for test, reference in ((paired_difference, stats.ttest_rel), (difference_of_means, stats.ttest_ind)):
        options = {} if reference is stats.ttest_rel else {"equal_var": False}
        shifted = reference(np.add(A, margin), B, alternative="greater", **options)
        assert test(A, B, margin).p == pytest.approx(shifted.pvalue, rel=1e-9)
        assert test(A, B, margin).effect == test(A, B).effect


def test_mean_against_is_two_one_sided_t_tests():
    found = mean_against(A, 50.0, 2.0)
    lower = stats.ttest_1samp(A, 48.0, alternative="greater").pvalue
    upper = stats.ttest_1samp(A, 52.0, alternative="less").pvalue
    assert found.p == pytest.approx(max(lower, upper), rel=1e-9)
    assert found.effect == pytest.approx(np.mean(A) - 50)
    interval = stats.ttest_1samp(A, 50).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low - 50, interval.high - 50))


def test_equivalence_is_two_one_sided_tests_paired_or_not():
    above, below = np.add(A, 1.5), np.subtract(A, 1.5)
    paired = [stats.ttest_rel(above, B, alternative="greater"), stats.ttest_rel(below, B, alternative="less")]
    assert equivalence(A, B, 1.5, paired=True).p == pytest.approx(max(test.pvalue for test in paired), rel=1e-9)
    welch = [
        stats.ttest_ind(side, C, equal_var=False, alternative=way).pvalue
        for side, way in ((above, "greater"), (below, "less"))
    ]
    assert equivalence(A, C, 1.5, paired=False).p == pytest.approx(max(welch), rel=1e-9)


def test_ratio_tests_logarithms():
    a, b = [10.2, 9.7, 10.9], [20.1, 22.4, 19.5, 21.0]
    found = ratio(a, b, 0.6, paired=False)
    reference = stats.ttest_ind(np.log(a), np.log(b) + math.log(0.6), equal_var=False, alternative="less")
    interval = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert found.effect == pytest.approx(stats.gmean(a) / stats.gmean(b))
    assert (found.n, found.test) == ((3, 4), "Welch t of logarithms")
    paired = ratio(a, b[:3], 0.6, paired=True)
    assert paired.p == pytest.approx(
        stats.ttest_rel(np.log(a), np.log(b[:3]) + math.log(0.6), alternative="less").pvalue
    )


def test_flatness_is_the_worst_of_all_pairs():
    groups = {1: [10.0, 10.4, 9.9], 10: [10.9, 10.2, 10.5], 50: [10.1, 10.6, 9.8, 10.3]}
    x = [ipc for ipc, costs in groups.items() for _ in costs]
    found = flatness(x, [cost for costs in groups.values() for cost in costs], 0.15)
    pairs = [ratio(a, b, 1.15, paired=False) for a, b in permutations(groups.values(), 2)]
    assert found.p == pytest.approx(max(pair.p for pair in pairs))
    assert found.effect == pytest.approx(max(pair.effect for pair in pairs))
    assert found.high == pytest.approx(max(pair.high for pair in pairs))
    by_all = [ratio(a, b, 1.15, paired=False, level=1 - 0.05 / 6).low for a, b in permutations(groups.values(), 2)]
    assert found.low == pytest.approx(max(1.0, *by_all))
    assert found.n == (3, 3, 4)


def test_linearity_is_the_exponent_of_a_log_log_fit():
    x, y = [1, 1, 10, 10, 50, 50], [1.0, 1.1, 10.4, 11.2, 53.0, 49.0]
    found = linearity(x, y, 0.1)
    design = np.stack([np.ones(6), np.log(x)], axis=1)
    (_, slope), residual, *_ = np.linalg.lstsq(design, np.log(y), rcond=None)
    error = math.sqrt(residual[0] / 4 * np.linalg.inv(design.T @ design)[1, 1])
    assert found.effect == pytest.approx(slope)
    assert found.high - found.effect == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert found.p == pytest.approx(max(stats.t.sf((slope - 0.9) / error, 4), stats.t.sf((1.1 - slope) / error, 4)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_smallest_p():
    assert smallest_p("permutation", (5, 5)) == pytest.approx(1 / 252)  # the 0.004 that a family must reckon with
    assert smallest_p("paired permutation", (5,)) == 1 / 32
    assert smallest_p("permutation", (5, 5), "two-sided") == pytest.approx(2 / 252)
    assert smallest_p("permutation", (20, 20)) == 1 / 10_000
    for found in (paired_difference(A, B), ratio(A, C, 1, paired=False), mean_against(A, 50, 1)):
        assert smallest_p(found.test, found.n) == 0


# Properties


@settings(max_examples=60, deadline=None)
@given(SIDES, PERCENT)
def test_a_larger_tolerance_never_makes_a_claim_harder(sides, margin):
    a, b = sides
    for test in (paired_difference, difference_of_means):
        assert test(a, b, margin).p <= test(a, b, margin / 2).p + 1e-12
    for paired in (True, False):
        assert equivalence(a, b, margin, paired).p <= equivalence(a, b, margin / 2, paired).p + 1e-12


@settings(max_examples=60, deadline=None)
@given(SIDES)
def test_sides_swapped_give_the_mirrored_interval_and_the_same_two_sided_p(sides):
    a, b = sides
    for test in (paired_difference, difference_of_means):
        one, other = test(a, b, alternative="two-sided"), test(b, a, alternative="two-sided")
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
        assert one.p == pytest.approx(other.p, abs=1e-9)
        assert 0 <= one.p <= 1


@settings(max_examples=60, deadline=None)
@given(SIDES, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_leaves_out_zero_exactly_where_p_is_below_the_level(sides, level):
    a, b = sides
    for test in (paired_difference, difference_of_means):
        found = test(a, b, alternative="two-sided", level=level)
        assume(abs(found.p - (1 - level)) > 1e-9)
        assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)


@settings(max_examples=60, deadline=None)
@given(COSTS, COSTS, st.floats(0.1, 10), st.floats(0.01, 100))
def test_a_ratio_does_not_depend_on_the_unit(a, b, limit, unit):
    one = ratio(a, b, limit, paired=False)
    other = ratio([unit * v for v in a], [unit * v for v in b], limit, paired=False)
    assert (one.effect, one.low, one.high) == pytest.approx((other.effect, other.low, other.high), rel=1e-6)
    assume(one.low < one.high)
    assert one.p == pytest.approx(other.p, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_as_the_step_down_procedure_does(p):
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[index] * (len(p) - rank) > level:
                break
            rejected.add(index)
        assert {i for i, value in enumerate(holm(p)) if value <= level} == rejected


# Values without any spread


@pytest.mark.parametrize("test", [paired_difference, difference_of_means])
def test_equal_numbers_on_both_sides_are_no_difference(test):
    same = test([0.1 + 0.2] * 3, [0.3] * 3)
    assert (same.p, same.low, same.high) == (1.0, same.effect, same.effect)
    assert test([70.5] * 3, [70.5] * 3, alternative="two-sided").p == 1.0


@pytest.mark.parametrize("test", [paired_difference, difference_of_means])
def test_an_exact_difference_is_certain(test):
    assert test([71.0] * 3, [70.0] * 3).p == 0.0
    assert test([71.0] * 3, [70.0] * 3, alternative="two-sided").p == 0.0
    assert test([70.0] * 3, [71.0] * 3).p == 1.0
    assert test([70.0] * 3, [71.0] * 3, margin=1.0).p == 0.0  # at the border: no worse than by the margin
    assert test([70.0] * 3, [71.0] * 3, margin=0.9).p == 1.0


def test_the_border_of_a_tolerance_counts_as_within_in_spite_of_rounding():
    assert paired_difference([0.3, 0.4, 0.5], [0.1, 0.2, 0.3], margin=-0.2).p == 0.0  # differences of 0.19999...
    assert mean_against([70.3] * 3, 70.0, 0.3).p == 0.0
    assert mean_against([70.31] * 3, 70.0, 0.3).p == 1.0
    assert equivalence([5.0] * 2, [5.0] * 2, 0.0, paired=False).p == 0.0
    assert ratio([3e8] * 3, [2e8] * 3, 1.5, paired=False).p == 0.0
    assert ratio([3e8] * 3, [2e8] * 3, 1.49, paired=True).p == 1.0
    assert flatness([1, 1, 10, 10], [4.0] * 4, 0.0).p == 0.0
    assert linearity([1, 10, 100], [2.0, 20.0, 200.0], 0.01).p == pytest.approx(0.0, abs=1e-6)


def test_one_side_without_spread_keeps_the_spread_of_the_other():
    found = difference_of_means(A, [50.0] * 4)
    reference = stats.ttest_1samp(A, 50.0, alternative="greater")
    assert found.p == pytest.approx(reference.pvalue)


# Bad input


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: paired_difference([1.0], [2.0]), "two numbers or more"),
        (lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]), "as many on both sides, got 2 and 3"),
        (lambda: difference_of_means([1.0, math.nan], [1.0, 2.0]), "finite"),
        (lambda: difference_of_means([[1.0, 2.0]], [1.0, 2.0]), "shape"),
        (lambda: paired_difference(A, B, 1.0, "two-sided"), "takes no margin"),
        (lambda: paired_difference(A, B, alternative="less"), "alternative"),
        (lambda: paired_difference(A, B, level=95), "level"),
        (lambda: mean_against(A, math.inf, 1.0), "target"),
        (lambda: mean_against(A, 50.0, -1.0), "margin"),
        (lambda: ratio([0.0, 1.0], [1.0, 2.0], 1.0, paired=True), "positive"),
        (lambda: ratio([1.0, 2.0], [1.0, 2.0], 0.0, paired=True), "limit"),
        (lambda: flatness([1, 1, 10], [1.0, 2.0, 3.0], 0.1), "2 at 1, 1 at 10"),
        (lambda: flatness([1, 1], [1.0, 2.0], 0.1), "two groups"),
        (lambda: flatness([1, 1, 2], [1.0, 2.0], 0.1), "as many"),
        (lambda: linearity([1, 1, 1], [1.0, 2.0, 3.0], 0.1), "different positive sizes"),
        (lambda: linearity([0, 1, 2], [1.0, 2.0, 3.0], 0.1), "different positive sizes"),
        (lambda: holm([0.1, 1.1]), "0..1"),
        (lambda: holm([math.nan]), "0..1"),
        (lambda: smallest_p("sign", (5,)), "known test"),
        (lambda: smallest_p("permutation", (5,)), "counts"),
    ],
)
def test_bad_input_is_one_line(call, reason):
    with pytest.raises(BadInputError, match=reason) as error:
        call()
    assert "\n" not in str(error.value)
