"""Results that no ranking holds, each with the reason: altered, measured twice, or without a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddbench.analysis.aggregate import drop_duplicates
from ddbench.records import Result

REASONS = {
    "altered": "changed after it was written: its digest differs",
    "misplaced": "stood in the folder of another cell",
}


@dataclass(frozen=True)
class LeftOut:
    """A result that is not ranked."""

    what: str
    reason: str


def sort_out(results: Sequence[Result]) -> tuple[list[Result], tuple[LeftOut, ...]]:
    """Return the results that tables may be made of, and all that is not ranked, in words.

    Altered and misplaced results are evidence of nothing and stay out of every number. Those without a number, and
    those that measure the same again, are given back too: tables count them.
    """
    sound = [result for result in results if not result.is_altered]
    kept, groups = drop_duplicates(sound)
    left = [LeftOut(_words(result), REASONS[result.standing]) for result in results if result.is_altered]
    left += [
        LeftOut(_words(other), f"measured again: the result that was started {_start(first)} counts")
        for first, *others in groups
        for other in others
    ]
    left += [
        LeftOut(_words(result), f"{result.status.replace('_', ' ')}: {result.reason or 'no reason recorded'}")
        for result in kept
        if result.status != "ok"
    ]
    left += [
        LeftOut(_words(result), "measured, but not its test accuracy")
        for result in kept
        if result.status == "ok" and result.metric("test_accuracy") is None
    ]
    return sound, tuple(left)


def _words(result: Result) -> str:
    return f"{result.title}, seed {result.distill_seed}, protocol {result.protocol}, {result.network}, key {result.key}"


def _start(result: Result) -> str:
    return result.started_at or "at an unknown time"
