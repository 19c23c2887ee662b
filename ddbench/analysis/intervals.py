"""Estimates: an effect with its standard error, turned into interval and p by Student's t; checks of what goes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from ddbench.errors import BadInputError

Values = Sequence[float] | NDArray[np.float64]
Alternative = Literal["greater", "two-sided"]

PAIRED_T = "paired t"
WELCH_T = "Welch t"
ONE_SAMPLE_T = "one-sample t"
ALL_PAIRS = "Welch t of all pairs"
LOG_LOG = "t of a log-log fit"

ROUNDING = 1e-12  # of the values' size: a spread below it comes from rounding


@dataclass(frozen=True)
class Estimate:
    """An effect with its interval and test.

    Attributes:
        effect: what the function that returns it says: a difference, a ratio or an exponent, in the values' unit.
        low: lower end of the two-sided interval.
        high: upper end.
        p: of the hypothesis that the function states.
        n: observations per side; one entry where they are paired or there is one side.
        test: name of the test.
    """

    effect: float
    low: float
    high: float
    p: float
    n: tuple[int, ...]
    test: str


@dataclass(frozen=True)
class Fit:
    """An estimate with its standard error and degrees of freedom; `size` is that of the values it came from."""

    effect: float
    error: float
    df: float
    n: tuple[int, ...]
    test: str
    size: float

    @staticmethod
    def of(values: NDArray[np.float64], test: str, size: float | None = None) -> Fit:
        """Return the mean of (n,) values; a `size` is given where they are differences of larger numbers."""
        size = float(abs(values).max()) if size is None else size
        error = _without_rounding(float(values.std(ddof=1)), size) / sqrt(len(values))
        return Fit(float(values.mean()), error, len(values) - 1, (len(values),), test, size)

    def against(self, null: float, alternative: Alternative, level: float, border: bool | None = None) -> Estimate:
        """Test effect > null, or in either direction; `border`: whether an exact effect at `null` passes."""
        check_level(level)
        gap = self.effect - null
        if self.error == 0:
            gap = _without_rounding(gap, max(self.size, abs(null)))
            passes = gap > 0 or (gap == 0 and (null != 0 if border is None else border))
            passes = gap != 0 if alternative == "two-sided" else passes
            return Estimate(self.effect, self.effect, self.effect, 0.0 if passes else 1.0, self.n, self.test)
        # Student's t as scipy.stats.t has it, without its checks, which cost a hundred times as much.
        t = gap / self.error
        p = float(stdtr(self.df, -t) if alternative == "greater" else 2 * stdtr(self.df, -abs(t)))
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.error
        return Estimate(self.effect, self.effect - half, self.effect + half, p, self.n, self.test)

    def within(self, margin: float, level: float) -> Estimate:
        """Test |effect| <= margin."""
        check_number(margin, "margin", at_least=0)
        above = self.against(-margin, "greater", level, border=True)
        below = replace(self, effect=-self.effect).against(-margin, "greater", level, border=True)
        return replace(above, p=max(above.p, below.p), test=f"two one-sided {self.test}")


def paired_fit(a: Values, b: Values) -> Fit:
    """Return the mean of a - b over pairs, both (n,); raises BadInputError where they are not as many."""
    upper, lower = checked(a, "values of the first side"), checked(b, "values of the second side")
    if len(upper) != len(lower):
        raise BadInputError(f"paired values must be as many on both sides, got {len(upper)} and {len(lower)}")
    return Fit.of(upper - lower, PAIRED_T, size=float(max(abs(upper).max(), abs(lower).max())))


def welch_fit(a: Values, b: Values) -> Fit:
    """Return mean(a) - mean(b) of (n,) and (m,) independent values, each side with its own spread."""
    sides = checked(a, "values of the first side"), checked(b, "values of the second side")
    fits = [Fit.of(side, WELCH_T) for side in sides]
    squares = [fit.error**2 for fit in fits]
    total = sum(squares)
    terms = sum(square**2 / fit.df for square, fit in zip(squares, fits, strict=True))
    df = total**2 / terms if terms > 0 else float(sum(fit.df for fit in fits))
    size = max(fit.size for fit in fits)
    return Fit(fits[0].effect - fits[1].effect, sqrt(total), df, tuple(map(len, sides)), WELCH_T, size)


def checked(values: Values, what: str) -> NDArray[np.float64]:
    """Return values as (n,) float64; raises BadInputError for fewer than two, or one that is not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise BadInputError(
            f"{what} must be two numbers or more, got shape {array.shape}; one run has no spread, measure more seeds"
        )
    if not np.isfinite(array).all():
        raise BadInputError(f"{what} must be finite numbers, got {', '.join(f'{value:g}' for value in array)}")
    return array


def logs_of(values: Values, what: str) -> NDArray[np.float64]:
    """Return the natural logarithms of positive values, (n,) float64; raises BadInputError for others."""
    array = checked(values, what)
    if array.min() <= 0:
        raise BadInputError(f"{what} must be positive to have a ratio, got {array.min():g}")
    return np.log(array)


def sizes_and_logs(x: Values, y: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sizes and the logarithms of as many costs, both (n,) float64; raises BadInputError for others."""
    keys, logs = checked(x, "sizes"), logs_of(y, "costs")
    if len(keys) != len(logs):
        raise BadInputError(f"sizes and costs must be as many, got {len(keys)} and {len(logs)}")
    return keys, logs


def tolerated_loss(margin: float, alternative: Alternative) -> float:
    """Return the margin of a difference; raises BadInputError where the alternative takes none."""
    if alternative not in ("greater", "two-sided"):
        raise BadInputError(f"alternative must be 'greater' or 'two-sided', got {alternative!r}")
    check_number(margin, "margin")
    if margin and alternative == "two-sided":
        raise BadInputError(f"a two-sided test takes no margin, got {margin:g}; ask for equivalence instead")
    return margin


def check_number(value: float, what: str, *, at_least: float | None = None, above: float | None = None) -> None:
    """Raise BadInputError for a number that is not finite or below its bound."""
    if not isfinite(value) or (at_least is not None and value < at_least) or (above is not None and value <= above):
        bound = (
            f" of at least {at_least:g}" if at_least is not None else f" above {above:g}" if above is not None else ""
        )
        raise BadInputError(f"{what} must be a finite number{bound}, got {value:g}")


def check_level(level: float) -> None:
    """Raise BadInputError for a level of confidence that is none."""
    if not 0 < level < 1:
        raise BadInputError(f"level must lie between 0 and 1, such as 0.95, got {level:g}")


def _without_rounding(value: float, size: float) -> float:
    return 0.0 if abs(value) <= ROUNDING * size else value
