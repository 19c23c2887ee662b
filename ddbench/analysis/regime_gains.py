"""What sets gain over random real images under each label regime: paired differences, intervals, a verdict in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ddbench.analysis.aggregate import Entry, Spread, values_by_seed
from ddbench.analysis.significance import mean_against
from ddbench.training_recipe import REGIMES

LEVEL = 0.95
PREFIXES = ("accuracy[", "random_accuracy[", "gain[", "label_bytes[")
Verdict = Literal["gains", "loses", "unclear", "too few"]


@dataclass(frozen=True)
class RegimeGain:
    """One method at one IPC under one regime; accuracies in percent, gains in points.

    Attributes:
        entry: the results.
        regime: as the evaluator names it: `hard`, `own`, `soft`, `online`, with the epochs of a teacher that has some.
        label_bytes: what the labels take, or their teacher; a mean over sets.
        accuracy: of the set's students.
        random: of random real images with the same labels, with a teacher's beside `own`.
        gain: mean over seeds of the paired differences.
        low: lower end of the 95 % interval, None with fewer than two values.
        high: upper end.
        over: what the interval's values are: `seeds`, or `students` where there is one seed.
        verdict: `gains` or `loses` where the interval leaves out zero, else `unclear`.
    """

    entry: Entry
    regime: str
    label_bytes: float
    accuracy: Spread
    random: Spread
    gain: float
    low: float | None
    high: float | None
    over: str
    verdict: Verdict


def is_of_regimes(metric: str) -> bool:
    """Return whether a metric is one of those that `label_regimes` gives."""
    return metric.startswith(PREFIXES) and metric.endswith("]")


def regime_gains(entries: Iterable[Entry]) -> list[RegimeGain]:
    """Return the gain of every entry under every regime that it was measured in, in their order."""
    found = []
    for entry in entries:
        names = dict.fromkeys(metric.name for result in entry.ok for metric in result.metrics)
        regimes = [name.removeprefix("gain[").removesuffix("]") for name in names if name.startswith("gain[")]
        found += [gain for regime in regimes if (gain := _gain_of(entry, regime)) is not None]
    return found


def order_of(regime: str) -> tuple[int, str]:
    """Return what regimes are sorted by: from the cheapest labels to the dearest."""
    order: tuple[str, ...] = REGIMES
    kind = regime.partition(",")[0]
    return (order.index(kind) if kind in order else len(order)), regime


def _gain_of(entry: Entry, regime: str) -> RegimeGain | None:
    accuracy, random = entry.spread(f"accuracy[{regime}]"), entry.spread(f"random_accuracy[{regime}]")
    size = entry.spread(f"label_bytes[{regime}]")
    by_seed = values_by_seed(entry.ok, f"gain[{regime}]")
    if accuracy is None or random is None or size is None or not by_seed:
        return None
    over = "seeds" if len(by_seed) > 1 else "students"
    values = [fmean(of) for of in by_seed.values()] if over == "seeds" else next(iter(by_seed.values()))
    low = high = None
    verdict: Verdict = "too few"
    if len(values) > 1:
        estimate = mean_against(values, 0.0, 0.0, LEVEL)
        low, high = estimate.low, estimate.high
        verdict = "gains" if low > 0 else "loses" if high < 0 else "unclear"
    return RegimeGain(entry, regime, size.mean, accuracy, random, fmean(values), low, high, over, verdict)
