"""Gains over random real images by labels, as text, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ddbench.analysis.aggregate import Entry
from ddbench.analysis.regime_gains import LEVEL, RegimeGain, order_of, regime_gains
from ddbench.tables.layout import group_rows, row_names
from ddbench.tables.quantities import bytes_text


def regimes_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return one row per regime, method and IPC; empty where `label_regimes` was not measured."""
    rows = group_rows(entries)
    return pd.DataFrame(
        {
            "labels": each.regime,
            **row_names(each.entry.row, rows),
            "IPC": str(each.entry.ipc),
            "set": f"{each.accuracy.mean:.1f}",
            "random": f"{each.random.mean:.1f}",
            f"gain, {100 * LEVEL:.0f} %": gain_text(each),
            "verdict": each.verdict,
            "size": bytes_text(each.label_bytes),
        }
        for each in _by_regime(entries)
    )


def regimes_notes(entries: Sequence[Entry]) -> list[str]:
    """Return how to read that table; empty where there is none."""
    found = regime_gains(entries)
    if not found:
        return []
    notes = [
        "Gain: accuracy of the set's students less that of random real images of the same IPC, labels, seeds and "
        "number of steps, paired by student; unclear where the interval over distillation seeds holds zero.",
        "Labels: hard, the class; own, the set's soft ones; soft, a teacher's, one an image; online, a teacher's for "
        "every augmented batch. Size is that of labels, or of the teacher that gives them.",
    ]
    if any(each.regime.partition(",")[0] == "own" for each in found):
        notes.append("Under own labels random images have a teacher's: that gain is one of labels too.")
    alone = [each.entry.name for each in found if each.over == "students" and each.low is not None]
    if alone:
        notes.append(f"Over the students of one set alone, not over sets: {', '.join(dict.fromkeys(alone))}.")
    return notes


def gain_text(each: RegimeGain) -> str:
    """Return a gain in points with its interval."""
    interval = "" if each.low is None or each.high is None else f" [{each.low:+.1f}, {each.high:+.1f}]"
    return f"{each.gain:+.1f}{interval}"


def _by_regime(entries: Sequence[Entry]) -> list[RegimeGain]:
    return sorted(regime_gains(entries), key=lambda each: order_of(each.regime))
