"""Tests and intervals behind claims and comparisons: pure functions of 1-D values, each test in the words people use.

Source of the procedures: Welch 1947 (unequal spreads), Schuirmann 1987 (equivalence by two one-sided t tests), Berger
1982 (all of several null hypotheses rejected), Holm 1979 (several claims at once). `docs/claims.md` says which claim
uses which, and what a simulation found of their errors.

Values without any spread are common here (same seed, same numbers; peak memory): their effect is exact, the interval
is that one number and p is 0 or 1. A value exactly at a tolerance or limit then counts as within it, and a difference
of exactly zero as no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from math import comb, exp, log, log1p

import numpy as np

from ddbench.analysis.intervals import (
    ALL_PAIRS,
    LOG_LOG,
    ONE_SAMPLE_T,
    PAIRED_T,
    WELCH_T,
    Alternative,
    Estimate,
    Fit,
    Values,
    check_level,
    check_number,
    checked,
    logs_of,
    paired_fit,
    sizes_and_logs,
    tolerated_loss,
    welch_fit,
)
from ddbench.errors import BadInputError

__all__ = [
    "Estimate",
    "difference_of_means",
    "equivalence",
    "flatness",
    "holm",
    "linearity",
    "mean_against",
    "paired_difference",
    "ratio",
    "smallest_p",
]


PAIRED_PERMUTATION = "paired permutation"
PERMUTATION = "permutation"
RESAMPLES = 9999


def paired_difference(
    a: Values, b: Values, margin: float = 0.0, alternative: Alternative = "greater", level: float = 0.95
) -> Estimate:
    """Test mean(a - b) > -margin over pairs: a is better, or worse by no more than the tolerated loss `margin`.

    Args:
        a: (n,) values, n >= 2.
        b: (n,) values, the partners of `a` in the same order.
        margin: tolerated loss; a negative one is a gain that is asked for.
        alternative: `greater`, or `two-sided` for a difference in either direction, which takes no margin.
        level: of the two-sided interval.

    Raises:
        BadInputError: values or options that give no test.
    """
    fit = paired_fit(a, b)
    return fit.against(-tolerated_loss(margin, alternative), alternative, level)


def difference_of_means(
    a: Values, b: Values, margin: float = 0.0, alternative: Alternative = "greater", level: float = 0.95
) -> Estimate:
    """Test mean(a) - mean(b) > -margin over independent values of possibly unequal spread (Welch).

    Args and errors as for `paired_difference`, but `b` is (m,) values, m >= 2, in any order.
    """
    fit = welch_fit(a, b)
    return fit.against(-tolerated_loss(margin, alternative), alternative, level)


def mean_against(a: Values, target: float, margin: float, level: float = 0.95) -> Estimate:
    """Test |mean(a) - target| <= margin by two one-sided t tests; p is the larger of both.

    Args:
        a: (n,) values, n >= 2.
        target: a number without a spread of its own, such as a published one.
        margin: tolerated distance, >= 0.
        level: of the two-sided interval.

    Returns:
        The effect is mean(a) - target.

    Raises:
        BadInputError: values or options that give no test.
    """
    values = checked(a, "values")
    check_number(target, "target")
    shifted = Fit.of(values - target, ONE_SAMPLE_T, size=max(float(abs(values).max()), abs(target)))
    return shifted.within(margin, level)


def equivalence(a: Values, b: Values, margin: float, paired: bool, level: float = 0.95) -> Estimate:
    """Test |mean(a) - mean(b)| <= margin by two one-sided t tests; p is the larger of both.

    Args:
        a: (n,) values, n >= 2.
        b: (n,) partners where `paired`, else (m,) independent values, m >= 2.
        margin: tolerated distance, >= 0.
        paired: whether values of the same position belong together.
        level: of the two-sided interval.

    Raises:
        BadInputError: values or options that give no test.
    """
    return (paired_fit(a, b) if paired else welch_fit(a, b)).within(margin, level)


def ratio(a: Values, b: Values, limit: float, paired: bool, level: float = 0.95) -> Estimate:
    """Test a / b <= limit, the ratio of geometric means: costs spread by factors, so logarithms are tested.

    Args:
        a: (n,) positive values, n >= 2.
        b: (n,) positive partners where `paired`, else (m,) independent ones, m >= 2.
        limit: largest ratio that the claim allows, > 0.
        paired: whether values of the same position belong together.
        level: of the two-sided interval.

    Raises:
        BadInputError: values or options that give no test.
    """
    check_number(limit, "limit", above=0)
    upper, lower = logs_of(a, "values of the first side"), logs_of(b, "values of the second side")
    fit = paired_fit(lower, upper) if paired else welch_fit(lower, upper)
    found = fit.against(-log(limit), "greater", level, border=True)
    return replace(
        found,
        effect=exp(-found.effect),
        low=exp(-found.high),
        high=exp(-found.low),
        n=found.n[::-1],
        test=f"{found.test} of logarithms",
    )


def flatness(x: Values, y: Values, tolerance: float, level: float = 0.95) -> Estimate:
    """Test that a cost does not depend on x: largest / smallest geometric mean of the groups <= 1 + tolerance.

    Every pair of groups must pass a one-sided Welch test on logarithms; p is the largest of them.

    Args:
        x: (n,) what groups the values, such as IPC; two groups or more.
        y: (n,) positive costs, two or more in each group.
        tolerance: allowed excess of the dearest group over the cheapest, >= 0.
        level: of the interval of the largest ratio; its lower end allows for the number of pairs.

    Returns:
        The effect is the ratio of the dearest to the cheapest group; n has one entry per group, by ascending x.

    Raises:
        BadInputError: values or options that give no test.
    """
    check_number(tolerance, "tolerance", at_least=0)
    check_level(level)
    keys, logs = sizes_and_logs(x, y)
    groups = {float(key): logs[keys == key] for key in np.unique(keys)}
    if len(groups) < 2 or min(map(len, groups.values())) < 2:
        sizes = ", ".join(f"{len(group)} at {key:g}" for key, group in groups.items())
        raise BadInputError(f"flatness needs two groups with two values each, got {sizes}; measure more seeds")
    fits = [welch_fit(b, a) for a, b in permutations(groups.values(), 2)]  # effect: log of b / a
    tests = [fit.against(-log1p(tolerance), "greater", level, border=True) for fit in fits]
    by_all = 1 - (1 - level) / len(fits)
    return Estimate(
        effect=max(exp(-test.effect) for test in tests),
        low=max(1.0, *(exp(-fit.against(0.0, "greater", by_all).high) for fit in fits)),
        high=max(exp(-test.low) for test in tests),
        p=max(test.p for test in tests),
        n=tuple(map(len, groups.values())),
        test=ALL_PAIRS,
    )


def linearity(x: Values, y: Values, tolerance: float, level: float = 0.95) -> Estimate:
    """Test that a cost grows in proportion to x: exponent of a log-log least-squares fit within 1 +- tolerance.

    Args:
        x: (n,) positive sizes, such as IPC; n >= 3, two or more different ones.
        y: (n,) positive costs.
        tolerance: allowed distance of the exponent from 1, >= 0.
        level: of the two-sided interval of the exponent.

    Returns:
        The effect is the exponent: 1 is linear, 0 is independent of x.

    Raises:
        BadInputError: values or options that give no test.
    """
    keys, logs = sizes_and_logs(x, y)
    if len(keys) < 3 or len(np.unique(keys)) < 2 or keys.min() <= 0:
        raise BadInputError(
            f"linearity needs three values or more at two or more different positive sizes, got {len(keys)} values at "
            f"{', '.join(f'{key:g}' for key in np.unique(keys))}; measure more sizes or seeds"
        )
    from scipy import stats  # takes half a second to import, and most tables need none

    line = stats.linregress(np.log(keys), logs)
    fit = Fit(float(line.slope) - 1, float(line.stderr), len(keys) - 2, (len(keys),), LOG_LOG, size=1.0)
    found = fit.within(tolerance, level)
    return replace(found, effect=found.effect + 1, low=found.low + 1, high=found.high + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values in the given order: the family errs at most at the level each is held against.

    Raises:
        BadInputError: a value that is no probability.
    """
    values = [float(value) for value in p]
    if not all(0 <= value <= 1 for value in values):
        raise BadInputError(f"p values must lie in 0..1, got {', '.join(f'{value:g}' for value in values)}")
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def smallest_p(test: str, n: tuple[int, ...], alternative: Alternative = "greater") -> float:
    """Return the smallest p that a test could ever give at these counts: a t test has no such bound.

    Args:
        test: a name from `Estimate.test`.
        n: observations per side, as in `Estimate.n`.
        alternative: as the test was or will be called.

    Raises:
        BadInputError: no such test, or counts it cannot have.
    """
    if any(name in test for name in (PAIRED_T, WELCH_T, ONE_SAMPLE_T, LOG_LOG)):
        return 0.0
    if test not in (PAIRED_PERMUTATION, PERMUTATION) or len(n) != 1 + (test == PERMUTATION) or min(n) < 2:
        raise BadInputError(f"smallest_p needs a known test and counts of at least two, got {test!r} and n {n}")
    ways = 2 ** n[0] if test == PAIRED_PERMUTATION else comb(sum(n), n[0])
    one_sided = 1 / ways if ways <= RESAMPLES else 1 / (RESAMPLES + 1)
    return one_sided if alternative == "greater" else min(1.0, 2 * one_sided)
