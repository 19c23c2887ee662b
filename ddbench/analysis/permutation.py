"""Permutation tests and bootstrap intervals: checks on the t tests that verdicts rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ddbench.analysis.intervals import (
    ONE_SAMPLE_T,
    Alternative,
    Estimate,
    Fit,
    Values,
    check_level,
    checked,
    paired_fit,
    welch_fit,
)
from ddbench.analysis.significance import (
    PAIRED_PERMUTATION,
    PERMUTATION,
    RESAMPLES,
    difference_of_means,
    paired_difference,
)


def permutation_difference(
    a: Values,
    b: Values,
    paired: bool,
    margin: float = 0.0,
    alternative: Alternative = "greater",
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Test as `paired_difference` or `difference_of_means`, p from permutations; the interval stays that of t.

    All permutations are tried where there are at most 9,999, else so many are drawn from `seed`.

    Raises:
        BadInputError: values or options that give no test.
    """
    test = paired_difference if paired else difference_of_means
    found = test(a, b, margin, alternative, level)
    upper, lower = np.asarray(a, np.float64) + margin, np.asarray(b, np.float64)
    outcome = stats.permutation_test(
        (upper, lower),
        _gap,
        permutation_type="samples" if paired else "independent",
        alternative=alternative,
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return replace(found, p=float(outcome.pvalue), test=PAIRED_PERMUTATION if paired else PERMUTATION)


def bootstrap_interval(
    a: Values, b: Values | None = None, paired: bool = False, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the BCa bootstrap interval of mean(a), or of mean(a) - mean(b), from 9,999 resamples drawn from `seed`.

    Below about ten values it is too narrow (see `docs/claims.md`): no verdict rests on it.

    Raises:
        BadInputError: values or options that give no interval.
    """
    check_level(level)
    first = checked(a, "values")
    samples: tuple[NDArray[np.float64], ...] = (first,)
    if b is None:
        fit = Fit.of(first, ONE_SAMPLE_T)
    elif paired:
        fit, samples = paired_fit(a, b), (first - checked(b, "values"),)
    else:
        fit, samples = welch_fit(a, b), (first, checked(b, "values"))
    if fit.error == 0:
        return fit.effect, fit.effect
    found = stats.bootstrap(
        samples,
        _gap if len(samples) == 2 else np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _gap(a: NDArray[np.float64], b: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(a.mean(axis=axis) - b.mean(axis=axis))
