"""What a report says first: per data set and IPC the best method, what equals it, and how far it is from both ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ddbench.analysis.aggregate import GAP, Entry
from ddbench.analysis.marks import EntryKey, Mark
from ddbench.tables.gain_column import BASELINE, gain_text
from ddbench.tables.layout import row_text, spread_text

FULL = "full_real"


@dataclass(frozen=True)
class SummaryRow:
    """The best method of one data set, protocol and network at one IPC.

    Attributes:
        ipc: images per class.
        best: name of the entry with the highest mean accuracy.
        accuracy: its accuracy in percent, as text.
        same: names of the entries that are not distinguishable from it, and of those not tested; a dash for none.
        gain: its accuracy less that of `random_real`, in points with a 95 % interval; a dash where that is missing or
            altered.
        share: its accuracy as a share of `full_real`'s, in percent; a dash where that is missing, altered or 0.
        methods: the best method and the ones that equal it.
    """

    ipc: int
    best: str
    accuracy: str
    same: str
    gain: str
    share: str
    methods: tuple[str, ...]


def summary_rows(entries: Iterable[Entry], marks: Mapping[EntryKey, Mark]) -> tuple[SummaryRow, ...]:
    """Return one row per IPC and content of the protocol, smaller IPC first; without those where nothing was compared.

    Args:
        entries: of one data set, protocol and network.
        marks: of these entries, see `mark_entries`.
    """
    every = tuple(entries)
    sound = [entry for entry in every if entry.accuracy and not entry.is_altered]
    full = {e.protocol_hash: e for e in sound if e.method == FULL and e.accuracy and e.accuracy.mean}
    random = {(e.ipc, e.protocol_hash): e for e in sound if e.method == BASELINE}
    rows = []
    for entry in every:
        mark = marks.get((entry.row, entry.ipc))
        if mark is None or mark.standing != "best" or entry.ipc is None or entry.accuracy is None:
            continue
        place = (entry.ipc, entry.protocol_hash)
        column = [
            (other, marks[other.row, other.ipc].standing)
            for other in every
            if (other.ipc, other.protocol_hash) == place and (other.row, other.ipc) in marks
        ]
        equals = [other for other, standing in column if standing == "same"]
        untested = [other for other, standing in column if standing == "untested"]
        named = [_names(equals), f"not tested: {_names(untested)}" if untested else ""]
        whole, baseline = full.get(entry.protocol_hash), random.get(place)
        share = f"{100 * entry.accuracy.mean / whole.accuracy.mean:.1f}" if whole and whole.accuracy else GAP
        rows.append(
            SummaryRow(
                entry.ipc,
                row_text(entry.row),
                spread_text(entry.accuracy),
                "; ".join(filter(None, named)) or GAP,
                gain_text(entry, baseline) if baseline and entry.method != BASELINE else GAP,
                share,
                (entry.method, *(other.method for other in equals)),
            )
        )
    return tuple(sorted(rows, key=lambda row: row.ipc))


def _names(entries: Iterable[Entry]) -> str:
    return ", ".join(row_text(entry.row) for entry in entries)


def names_in(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that stand in a text as whole words."""
    return tuple(name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))
