"""What a table says of published numbers: measured and published accuracies, their difference, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from ddbench.analysis.aggregate import GAP, TIMES, Entry
from ddbench.analysis.reproduction import LEVEL, Reproduction, reproduce
from ddbench.runs.known_settings import default_settings, with_added
from ddbench.runs.presets import published_settings
from ddbench.tables.layout import PLUS_MINUS, Citations, Published, ipc_name, published_text


def reproductions(entries: Iterable[Entry], published: Published, protocol: str) -> list[Reproduction]:
    """Return each entry beside what is published for it under the same protocol.

    Those whose numbers were published under another one are left out, unless their settings differ too.
    """
    found = []
    for entry in entries:
        numbers = next(iter(published.get((entry.method, entry.ipc), ())), None)
        if numbers is not None and entry.accuracy is not None:
            first = entry.ok[0]
            known = published_settings(entry.method, first.dataset, entry.ipc)
            settings = default_settings(entry.method) if known is None else known
            config = with_added(entry.method, first.config)
            each = reproduce(entry, numbers, config, settings, is_known=known is not None)
            if numbers.protocol == protocol or each.differing:
                found.append(each)
    return found


def reproduction_frame(found: Sequence[Reproduction], citations: Citations) -> pd.DataFrame:
    """Return one row per entry at published settings, as text; other numbers of reruns where there are any."""
    rows = []
    for each in found:
        if each.differing:
            continue
        rows.append(
            {
                "method": f"{each.entry.method} {each.entry.config}".strip(),
                "IPC": ipc_name(each.entry.ipc).removeprefix("IPC "),
                "published": f"{published_text(each.published)} [{citations.number_of(each.published.source)}]",
                "reruns": ", ".join(published_text(rerun) for rerun in each.reruns) or GAP,
                f"ours, {100 * LEVEL:.0f} %": _measured(each),
                "n": _counts(each),
                "diff": f"{each.difference:+.1f}",
                "verdict": each.verdict,
            }
        )
    frame = pd.DataFrame(rows)
    return frame.drop(columns="reruns") if rows and (frame["reruns"] == GAP).all() else frame


def reproduction_notes(found: Sequence[Reproduction]) -> list[str]:
    """Return how to read the frame, and which rows are not at published settings."""
    notes = []
    compared = [each for each in found if not each.differing]
    if compared:
        notes.append(
            f"Reproduced: the {100 * LEVEL:.0f} % interval of our mean, widened by the published {PLUS_MINUS}, holds "
            f"the published number; n: distillation seeds {TIMES} students."
        )
    if any(each.over == "students" and each.low is not None for each in compared):
        notes.append("With one distillation seed the interval is over its students, and says nothing of other seeds.")
    best = [each for each in compared if each.published.registry_metric == "test_accuracy_best"]
    if any(each.metric == "test_accuracy_best" for each in best):
        notes.append(
            "Where the published number is the best of several tests during training, ours is test_accuracy_best, "
            "selected on the test set as theirs was."
        )
    if last := [each.entry.name for each in best if each.metric == "test_accuracy"]:
        notes.append(f"The published number is the best of several tests, ours the last epoch's: {'; '.join(last)}.")
    unknown = [each.entry.name for each in compared if each.verdict == "settings not known"]
    if unknown:
        notes.append(f"At the defaults; the published settings are not known here: {'; '.join(unknown)}.")
    notes += [
        f"{each.entry.name}: not at the published settings, so nothing published stands beside it: "
        f"{', '.join(each.differing)}."
        for each in found
        if each.differing
    ]
    return notes


def reproduction_fields(each: Reproduction | None) -> dict[str, Any]:
    """Return the tidy form of one comparison; empty where nothing is published for an entry."""
    if each is None:
        return {}
    return {
        "published_difference": None if each.difference is None else round(each.difference, 6),
        "accuracy_low": None if each.low is None else round(each.low, 6),
        "accuracy_high": None if each.high is None else round(each.high, 6),
        "published_verdict": each.verdict,
        "settings_differing": "; ".join(each.differing),
    }


def _measured(each: Reproduction) -> str:
    accuracy = each.measured
    mean = GAP if accuracy is None else f"{accuracy.mean:.1f}"
    return mean if each.low is None or each.high is None else f"{mean} [{each.low:.1f}, {each.high:.1f}]"


def _counts(each: Reproduction) -> str:
    accuracy = each.measured
    return GAP if accuracy is None else f"{accuracy.seeds}{TIMES}{accuracy.student_text}"
