"""Permutation tests: checks on the t tests that verdicts rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ddbench.analysis.intervals import Alternative, Estimate, Values
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
    from scipy import stats  # takes half a second to import

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


def _gap(a: NDArray[np.float64], b: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(a.mean(axis=axis) - b.mean(axis=axis))
