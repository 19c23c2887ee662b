"""Whether a published accuracy came out: measured and published beside each other, and a verdict in a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ddbench.analysis.aggregate import Entry, Spread, values_by_seed
from ddbench.analysis.intervals import Estimate
from ddbench.analysis.published import PublishedEntry, PublishedNumber
from ddbench.analysis.significance import mean_against

Verdict = Literal["reproduced", "lower", "higher", "settings differ", "settings not known", "unverified", "too few"]
# How the work is cut up, and nothing else.
ENGINE_SETTINGS = frozenset({"batch_parts", "sampling_batch_size"})
LEVEL = 0.95


@dataclass(frozen=True)
class Reproduction:
    """An entry of a table beside what is published for it under the same protocol; accuracies in percent.

    Attributes:
        entry: what was measured.
        published: the number it is compared with.
        reruns: what others measured when they ran the method again.
        differing: settings that are not the published ones, in words.
        low: lower end of the 95 % interval of the mean; None with fewer than two values.
        high: upper end.
        over: what the interval's values are: `seeds`, or `students` where there is one distilled set.
        verdict: `reproduced` where the interval, widened by the published spread, holds the published number, else
            `lower` or `higher`; `settings differ`, which is no comparison; `settings not known` of a method that has
            settings, run at its defaults; `unverified` where nobody has read the number in its source; `too few` values
            for an interval.
    """

    entry: Entry
    published: PublishedNumber
    reruns: tuple[PublishedNumber, ...]
    differing: tuple[str, ...]
    low: float | None
    high: float | None
    over: str
    verdict: Verdict

    @property
    def measured(self) -> Spread | None:
        """The accuracy that compares with the published one; None where nothing was measured."""
        return self.entry.spread(self.metric)

    @property
    def metric(self) -> str:
        """Name of the accuracy that is compared: the last epoch's where a result lacks the best of several tests."""
        return compared_metric(self.entry, self.published)

    @property
    def difference(self) -> float | None:
        """Measured less published; None where their settings differ, or nothing was measured."""
        accuracy = self.measured
        return None if accuracy is None or self.differing else accuracy.mean - self.published.value


def reproduce(
    entry: Entry,
    found: PublishedEntry,
    config: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    *,
    is_known: bool,
) -> Reproduction:
    """Compare an entry that has an accuracy with a published one.

    Args:
        entry: results of one method, config and IPC.
        found: what is published under the protocol of these results.
        config: the settings of these results, all of them.
        settings: the published ones, or else the method's defaults, all of them; None for neither.
        is_known: whether they are the published ones.
    """
    number = found.shown
    reruns = tuple(other for other in found.numbers[1:] if other.kind in ("rerun", "community"))
    differing = differing_settings(config, settings)
    by_seed = values_by_seed(entry.ok, compared_metric(entry, number))
    over = "seeds" if len(by_seed) > 1 else "students"
    values = [sum(of) / len(of) for of in by_seed.values()] if over == "seeds" else next(iter(by_seed.values()))
    made = Reproduction(entry, number, reruns, differing, None, None, over, "too few")
    if len(values) > 1:
        estimate = mean_against(values, number.value, 0.0, LEVEL)
        made = replace(
            made,
            low=estimate.low + number.value,
            high=estimate.high + number.value,
            verdict=_judge(estimate, number.std or 0.0),
        )
    if differing:
        return replace(made, verdict="settings differ")
    if not is_known and settings:
        return replace(made, verdict="settings not known")
    return made if found.is_verified else replace(made, verdict="unverified")


def compared_metric(entry: Entry, number: PublishedNumber) -> str:
    """Return the metric that compares with a published number; the last epoch's unless every result has the other."""
    has_it = all(result.metric(number.registry_metric) is not None for result in entry.ok)
    return number.registry_metric if has_it else "test_accuracy"


def _judge(difference: Estimate, spread: float) -> Verdict:
    if difference.low > spread:
        return "higher"
    return "lower" if difference.high < -spread else "reproduced"


def differing_settings(config: Mapping[str, Any], settings: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what a result's config has other than published settings, such as `steps 60 instead of 1000`.

    A setting that only one of the two names is one that another version of the method has: it tells nothing.
    """
    if settings is None:
        return ()
    shared = [name for name in settings if name in config and name not in ENGINE_SETTINGS]
    return tuple(
        f"{name} {config[name]} instead of {settings[name]}" for name in shared if config[name] != settings[name]
    )
