"""The statistical rule of each kind of claim: what the numbers say for it and against it.

Two tests per claim: `p_for`, of the claim, and `p_against`, of its contrary beyond the margin; a claim that neither
shows is undecided. Recorded baselines are the exception: a gate asks whether anything moved, so they hold unless the
new mean lies outside the prediction interval of the recorded runs, and by more than a stated margin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import exp, log
from statistics import fmean

from scipy.special import stdtr, stdtrit

from ddbench.analysis.intervals import ONE_SAMPLE_T, Estimate
from ddbench.analysis.permutation import permutation_difference
from ddbench.analysis.significance import (
    difference_of_means,
    flatness,
    linearity,
    mean_against,
    paired_difference,
    ratio,
)
from ddbench.claims.evidence import UnjudgedError, costs_of, is_higher_better, pick, values_of
from ddbench.claims.kinds import (
    AbsoluteClaim,
    AnyClaim,
    CostClaim,
    RelativeClaim,
    ScalingClaim,
    SpeedClaim,
    is_cost,
)
from ddbench.claims.prediction import Prediction, predict
from ddbench.claims.sources import Sources
from ddbench.records import Result

TIMES = "\N{MULTIPLICATION SIGN}"
_BOUNDS = {"within": "near", "at_least": "at least", "at_most": "at most"}


@dataclass(frozen=True)
class Finding:
    """What the data say of one claim.

    Attributes:
        estimate: effect, interval and `p` of the claim.
        p_against: of the claim's contrary beyond its margin.
        words: what was measured on each side.
        unit: of the effect; a multiplication sign for a ratio.
        gate: of a recorded baseline, whose claim is that nothing got worse; None for a claim that must be shown.
    """

    estimate: Estimate
    p_against: float
    words: str
    unit: str
    gate: Prediction | None = None

    @property
    def effect(self) -> str:
        """Effect and interval as people read them: `-3.1 % [-4.0, -2.2]`."""
        e = self.estimate
        if self.unit == TIMES:
            return f"{TIMES}{e.effect:.3g} [{e.low:.3g}, {e.high:.3g}]"
        return f"{e.effect:+.3g}{self.unit} [{e.low:+.3g}, {e.high:+.3g}]"

    def limit(self, level: float) -> str:
        """Where the gate closes at this error level, as people read it."""
        if self.gate is None:
            return ""
        limit = self.gate.limit(level)
        return f"{TIMES}{exp(limit):.3g}" if self.unit == TIMES else f"{limit:+.3g}{self.unit}"


def find(claim: AnyClaim, sources: Sources, level: float) -> Finding:
    """Apply a claim's rule.

    Args:
        claim: any kind.
        sources: results and saved benchmarks, of anything; the claim's own are picked from them.
        level: error level of the claim's family; the interval is at 1 - `level`.

    Raises:
        UnjudgedError: the claim cannot be judged from these.
        BadInputError: results that must not be pooled.
    """
    if isinstance(claim, SpeedClaim):
        return _speed(claim, sources, 1 - level)
    results = sources.results_of(claim.entries)
    if isinstance(claim, AbsoluteClaim):
        return _absolute(claim, results, 1 - level)
    if isinstance(claim, RelativeClaim):
        return _relative(claim, results, 1 - level)
    if isinstance(claim, CostClaim):
        return _cost(claim, results, 1 - level)
    return _scaling(claim, results, 1 - level)


def _absolute(claim: AbsoluteClaim, results: Sequence[Result], confidence: float) -> Finding:
    if is_cost(claim.metric):
        (by_seed,) = costs_of(claim.entries, results, claim.metric, claim.machine)
        unit = " s" if claim.metric.endswith("seconds") else " bytes"
    else:
        by_seed = values_of(pick(claim.cell, results), claim.metric, claim.unit)
        unit = _short(claim.unit)
    values = list(by_seed.values())
    _check_count(claim, len(values), "runs")
    if claim.recorded is not None:
        sign = 1.0 if claim.bound == "at_least" else -1.0
        words = f"{claim.metric} {fmean(values):.4g}{unit}, recorded {fmean(claim.recorded):.4g}{unit}"
        gate = predict(values, claim.recorded, sign, claim.margin, confidence)
        return Finding(gate.estimate, gate.estimate.p, words, _of_differences(unit), gate)
    target = claim.target
    words = f"{claim.metric} {fmean(values):.4g}{unit}, claimed {_BOUNDS[claim.bound]} {target:.4g}{unit}"
    if claim.bound == "within":
        found = mean_against(values, target, claim.margin, confidence)
        return Finding(
            found, _beyond_margin(found, 0.0, claim.margin, len(values) - 1, confidence), words, _of_differences(unit)
        )
    goal = [target] * len(values)
    better, worse = (values, goal) if claim.bound == "at_least" else (goal, values)
    found = replace(paired_difference(better, worse, claim.margin, level=confidence), test=ONE_SAMPLE_T)
    contrary = paired_difference(worse, better, -claim.margin, level=confidence).p
    if claim.bound == "at_most":
        found = replace(found, effect=-found.effect, low=-found.high, high=-found.low)
    return Finding(found, contrary, words, _of_differences(unit))


def _relative(claim: RelativeClaim, results: Sequence[Result], confidence: float) -> Finding:
    picked = [pick(entry, results) for entry in claim.entries]
    ours, theirs = (values_of(found, claim.metric, claim.unit) for found in picked)
    if claim.paired:
        seeds = sorted(ours.keys() & theirs.keys())
        _check_count(claim, len(seeds), "seeds that both sides share")
        ours, theirs = ({seed: side[seed] for seed in seeds} for side in (ours, theirs))
    _check_count(claim, min(len(ours), len(theirs)), "runs a side")
    unit = _short(claim.unit)
    words = (
        f"{claim.metric} {fmean(ours.values()):.4g}{unit} for {claim.cell.method}, "
        f"{fmean(theirs.values()):.4g}{unit} for {claim.against.method}"
    )
    sign = 1 if is_higher_better(picked[0], claim.metric) else -1
    a, b = ([sign * value for value in side.values()] for side in (ours, theirs))

    def test(a: list[float], b: list[float], margin: float) -> Estimate:
        if claim.test == "permutation":
            return permutation_difference(a, b, claim.paired, margin, level=confidence)
        return (paired_difference if claim.paired else difference_of_means)(a, b, margin, level=confidence)

    return Finding(test(a, b, claim.margin), test(b, a, -claim.margin).p, words, _of_differences(unit))


def _cost(claim: CostClaim, results: Sequence[Result], confidence: float) -> Finding:
    sides = costs_of(claim.entries, results, claim.metric, claim.machine)
    _check_count(claim, min(map(len, sides)), "runs")
    ours = sides[0]
    if claim.recorded is not None:
        new, old = _typical(ours.values()), _typical(claim.recorded)
        words = f"{claim.metric} {_amount(claim.metric, new)}, recorded {_amount(claim.metric, old)}"
        logs = [log(value) for value in ours.values()], [log(value) for value in claim.recorded]
        gate = predict(*logs, -1.0, log(claim.limit), confidence)
        e = gate.estimate
        factors = replace(e, effect=exp(e.effect), low=exp(e.low), high=exp(e.high))
        return Finding(factors, e.p, words, TIMES, gate)
    theirs = sides[1]
    shared = sorted(ours.keys() & theirs.keys())
    paired = len(shared) >= claim.min_n
    a, b = ([s[seed] for seed in shared] if paired else list(s.values()) for s in (ours, theirs))
    words = (
        f"{claim.metric} {_amount(claim.metric, _typical(a))} for {claim.entries[0].title}, "
        f"{_amount(claim.metric, _typical(b))} for {claim.entries[1].title}"
    )
    contrary = ratio(b, a, 1 / claim.limit, paired, confidence).p
    return Finding(ratio(a, b, claim.limit, paired, confidence), contrary, words, TIMES)


def _scaling(claim: ScalingClaim, results: Sequence[Result], confidence: float) -> Finding:
    groups = [list(side.values()) for side in costs_of(claim.entries, results, claim.metric, claim.machine)]
    _check_count(claim, min(map(len, groups)), "runs at each IPC")
    costs = ", ".join(
        f"{_amount(claim.metric, _typical(group))} at {ipc}" for ipc, group in zip(claim.ipc, groups, strict=True)
    )
    words = f"{claim.metric} by IPC: {costs}"
    sizes = [float(ipc) for ipc, group in zip(claim.ipc, groups, strict=True) for _ in group]
    values = [value for group in groups for value in group]
    if claim.law == "independent":
        found = flatness(sizes, values, claim.tolerance, confidence)
        pairs = [ratio(b, a, 1 / (1 + claim.tolerance), paired=False).p for a, b in permutations(groups, 2)]
        return Finding(found, min(1.0, len(pairs) * min(pairs)), words, TIMES)
    found = linearity(sizes, values, claim.tolerance, confidence)
    contrary = _beyond_margin(found, 1.0, claim.tolerance, len(values) - 2, confidence)
    return Finding(found, contrary, words, " (exponent)")


def _speed(claim: SpeedClaim, sources: Sources, confidence: float) -> Finding:
    noted = [saved.noted.get(claim.key) for saved in sources.benchmarks if saved.name == claim.benchmark]
    found = [float(value) for value in noted if isinstance(value, int | float) and value > 0]
    if not found:
        raise UnjudgedError("not measured", f"no saved run has {claim.key} of {claim.benchmark}")
    _check_count(claim, len(found), "saved runs")
    words = f"{claim.key} {_typical(found):.3g}, claimed at least {claim.at_least:.3g}"
    one = [1.0] * len(found)
    reached = ratio(one, found, 1 / claim.at_least, paired=True, level=confidence)
    missed = ratio(found, one, claim.at_least, paired=True, level=confidence)
    return Finding(replace(missed, p=reached.p, test=ONE_SAMPLE_T), missed.p, words, TIMES)


def _beyond_margin(found: Estimate, centre: float, margin: float, df: int, confidence: float) -> float:
    """Return p of |effect - centre| > margin, two-sided, from an estimate whose interval is a t interval."""
    excess = abs(found.effect - centre) - margin
    error = (found.high - found.low) / 2 / float(stdtrit(df, (1 + confidence) / 2))
    if error == 0:
        return 0.0 if found.p == 1 and excess > 0 else 1.0
    return min(1.0, 2 * float(stdtr(df, -excess / error)))


def _check_count(claim: AnyClaim, count: int, what: str) -> None:
    if count < claim.min_n:
        raise UnjudgedError("inconclusive", f"{claim.min_n} {what} are needed, there are {count}")


def _typical(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    return exp(fmean(log(value) for value in values))


def _amount(metric: str, value: float) -> str:
    return f"{value:.3g} s" if metric.endswith("seconds") else f"{value / 2**20:,.0f} MiB"


def _short(unit: str) -> str:
    return " %" if unit == "percent" else f" {unit}"


def _of_differences(unit: str) -> str:
    return unit.replace(" %", " points")
