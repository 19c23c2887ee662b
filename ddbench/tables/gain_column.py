"""How far each method is from random real images of the same IPC, as text."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ddbench.analysis.aggregate import GAP, Entry
from ddbench.analysis.comparison import accuracies
from ddbench.analysis.significance import difference_of_means, paired_difference
from ddbench.tables.layout import group_rows, ipc_name, row_names

BASELINE = "random_real"


def gain_frame(entries: Sequence[Entry], shown: Sequence[Entry] | None = None) -> pd.DataFrame:
    """Return methods by IPC: accuracy less that of `random_real`, in points, with its 95 % interval.

    Paired by distillation seed where both sides have the same seeds, else Welch's; without an interval where a side has
    one seed. Empty without a `random_real`. Rows are those of `shown`, of all entries where None.
    """
    baseline = {_place(entry): entry for entry in entries if entry.method == BASELINE and entry.accuracy}
    rows = group_rows(entry for entry in (shown or entries) if entry.method != BASELINE and entry.ipc is not None)
    ipcs = sorted({ipc for ipc, _ in baseline if ipc is not None})
    frame = []
    for row, found in rows.items():
        texts = {entry.ipc: gain_text(entry, baseline[_place(entry)]) for entry in found if _place(entry) in baseline}
        if any(text != GAP for text in texts.values()):
            frame.append({**row_names(row, rows), **{ipc_name(ipc): texts.get(ipc, GAP) for ipc in ipcs}})
    return pd.DataFrame(frame)


def gain_notes(frame: pd.DataFrame) -> list[str]:
    """Return why there are no gains where they were asked for."""
    if len(frame):
        return []
    return [f"No gains: no {BASELINE} with an accuracy stands beside a method at the same IPC under this protocol."]


def _place(entry: Entry) -> tuple[int | None, str]:
    """Return what two entries must share to be compared; tables may mix the contents of a protocol."""
    return entry.ipc, entry.protocol_hash


def gain_text(entry: Entry, baseline: Entry) -> str:
    """Return the accuracy of an entry less that of another one, in points, with its 95 % interval."""
    own, random = accuracies(entry), accuracies(baseline)
    if not own or not random:
        return GAP
    if own.keys() == random.keys() and len(own) > 1:
        found = paired_difference([own[seed] for seed in sorted(own)], [random[seed] for seed in sorted(own)])
    elif min(len(own), len(random)) > 1:
        found = difference_of_means(list(own.values()), list(random.values()))
    else:
        return f"{sum(own.values()) / len(own) - sum(random.values()) / len(random):+.1f}"
    return f"{found.effect:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
