"""Whether new runs are what recorded runs let expect: the rule of recorded baselines, a gate and not a proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

from ddbench.analysis.intervals import ROUNDING, Estimate

PREDICTION = "prediction interval"


@dataclass(frozen=True)
class Prediction:
    """The mean of new runs beside the prediction interval of recorded ones (Student's t, the recorded runs' spread).

    Attributes:
        estimate: new - recorded mean with its interval; `p` is that of "nothing got worse".
        margin: the loss that is let pass whatever the spread.
        error: standard error of the difference, as the recorded spread gives it.
        sign: 1 where more is better, else -1.
    """

    estimate: Estimate
    margin: float
    error: float
    sign: float

    @property
    def is_beyond(self) -> bool:
        """Whether the loss passes the margin."""
        return bool(-self.sign * self.estimate.effect > self.margin + ROUNDING)

    def limit(self, level: float) -> float:
        """Return the difference from the recorded mean at which a gate of this error level closes."""
        df = self.estimate.n[1] - 1
        return -self.sign * max(self.margin, -float(stdtrit(df, level)) * self.error)


def predict(
    new: Sequence[float], recorded: Sequence[float], sign: float, margin: float, confidence: float
) -> Prediction:
    """Compare the mean of one or more new runs with three or more recorded ones; see `Prediction`.

    The interval assumes that runs are independent and near normal; for costs, hand in logarithms.
    """
    effect = fmean(new) - fmean(recorded)
    rounding = ROUNDING * max(1.0, *(abs(value) for value in (*new, *recorded)))
    spread = stdev(recorded)
    error = 0.0 if spread <= rounding else spread * sqrt(1 / len(recorded) + 1 / len(new))
    df = len(recorded) - 1
    exact = 0.0 if -sign * effect > rounding else 1.0
    p = exact if error == 0 else float(stdtr(df, sign * effect / error))
    half = float(stdtrit(df, (1 + confidence) / 2)) * error
    estimate = Estimate(effect, effect - half, effect + half, p, (len(new), len(recorded)), PREDICTION)
    return Prediction(estimate, margin, error, sign)
