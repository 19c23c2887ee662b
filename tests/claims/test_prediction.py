"""The gate of recorded baselines: how often unchanged code passes, and what it lets through."""

import numpy as np
import pytest
from scipy import stats

from ddbench.claims.prediction import predict

RECORDED = [90.0, 91.0, 92.0, 90.5, 91.5]


def test_p_is_that_of_a_t_test_with_the_recorded_spread():
    found = predict([89.0, 89.5], RECORDED, 1.0, 0.0, 0.95)
    error = np.std(RECORDED, ddof=1) * np.sqrt(1 / 5 + 1 / 2)
    assert found.estimate.effect == pytest.approx(-1.75)
    assert found.estimate.p == pytest.approx(stats.t.sf(1.75 / error, 4))
    assert found.limit(0.05) == pytest.approx(-stats.t.isf(0.05, 4) * error)


def test_unchanged_runs_are_beyond_the_limit_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    p = [predict(rng.normal(90, 2, 3), rng.normal(90, 2, 8), 1.0, 0.0, 0.95).estimate.p for _ in range(500)]
    for level in (0.05, 0.01):
        low, high = stats.binom.interval(0.999, 500, level)
        assert low <= sum(value <= level for value in p) <= high


def test_sign_says_which_way_is_worse():
    assert predict([80.0], RECORDED, 1.0, 1.0, 0.95).is_beyond
    assert not predict([80.0], RECORDED, -1.0, 1.0, 0.95).is_beyond
    assert predict([80.0], RECORDED, -1.0, 1.0, 0.95).limit(0.05) > 0


def test_values_that_repeat_exactly_leave_the_margin_alone_as_the_limit():
    same = [5.0, 5.0, 5.0]
    assert predict([5.05], same, -1.0, 0.1, 0.95).limit(0.05) == pytest.approx(0.1)
    assert predict([5.05], same, -1.0, 0.1, 0.95).estimate.p == 0
    assert not predict([5.05], same, -1.0, 0.1, 0.95).is_beyond
    assert predict([5.2], same, -1.0, 0.1, 0.95).is_beyond
    assert predict(same, same, -1.0, 0.1, 0.95).estimate.p == 1
