"""Which numbers of a column cannot be told from its best one, given the seeds that were run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ddbench.analysis.aggregate import Entry
from ddbench.analysis.comparison import accuracies
from ddbench.analysis.significance import difference_of_means, holm

LEVEL = 0.95
Standing = Literal["best", "same", "worse", "untested"]
EntryKey = tuple[tuple[str, str, str], int | None]


@dataclass(frozen=True)
class Mark:
    """Where an entry stands in its column, and the one sentence that says why."""

    standing: Standing
    words: str


def mark_entries(entries: Sequence[Entry]) -> dict[EntryKey, Mark]:
    """Return the mark of every entry with an accuracy, by row and IPC; a column with a single accuracy has none.

    Each entry is tested two-sided against the highest mean of its IPC by Welch's t test over distilled sets, with
    Holm's correction over the column. (Pairing by seed, as `ddbench compare` does, would leave two degrees of freedom
    at the usual three seeds: too few for a column of many methods.) The whole training set is no rival and gets no
    mark, nor does an entry with altered results.
    """
    marks: dict[EntryKey, Mark] = {}
    sound = [entry for entry in entries if entry.accuracy and not entry.is_altered]
    for ipc, protocol in dict.fromkeys((e.ipc, e.protocol_hash) for e in sound if e.ipc is not None):
        same = (entry for entry in sound if (entry.ipc, entry.protocol_hash) == (ipc, protocol))
        column = {entry.row: accuracies(entry) for entry in same}
        if len(column) > 1:
            marks |= {(row, ipc): mark for row, mark in _mark_column(column).items()}
    return marks


def explain_marks(marks: Iterable[Mark], best: str = "Bold") -> str:
    """Return how to read the marks of a table, the best one's being `best`: empty where it has none."""
    standings = {mark.standing for mark in marks}
    if not standings:
        return ""
    parts = [f"{best}: highest mean of its IPC"]
    if "same" in standings:
        parts.append("\N{ALMOST EQUAL TO}: not distinguishable from it")
    if "worse" in standings:
        parts.append("no mark: below it")
    if "untested" in standings:
        parts.append("?: not tested, one seed has no spread")
    level = f"{100 * (1 - LEVEL):.0f} %"
    test = f" (Welch's t test over distillation seeds, two-sided at {level}, Holm over the column)"
    return "; ".join(parts) + (test if standings & {"same", "worse"} else "") + "."


def _mark_column(column: Mapping[tuple[str, str, str], dict[int, float]]) -> dict[tuple[str, str, str], Mark]:
    best = max(column, key=lambda row: fmean(column[row].values()))
    marks = {best: Mark("best", "highest mean of its column")}
    tests = {}
    for row, means in column.items():
        if row == best:
            continue
        if min(len(means), len(column[best])) < 2:
            marks[row] = Mark("untested", "not tested against the highest mean: one seed has no spread")
        else:
            first, second = list(means.values()), list(column[best].values())
            tests[row] = difference_of_means(first, second, alternative="two-sided")
    for (row, found), p in zip(tests.items(), holm([found.p for found in tests.values()]), strict=True):
        same = p > 1 - LEVEL
        verdict = "not distinguishable from" if same else "below"
        words = (
            f"{verdict} the highest mean: {found.effect:+.1f} [{found.low:+.1f}, {found.high:+.1f}] points, "
            f"{found.test}, p {_p_text(p)} after Holm"
        )
        marks[row] = Mark("same" if same else "worse", words)
    return marks


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
