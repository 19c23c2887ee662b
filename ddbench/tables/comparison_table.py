"""A comparison as a table: one row per compared entry, and what a reader must know to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ddbench.analysis.aggregate import GAP, Entry, settings_of, varying_keys
from ddbench.analysis.comparison import FEWEST_SEEDS, Compared, Comparison, Group
from ddbench.analysis.data_identity import older_data_notes
from ddbench.tables.layout import entry_text, ipc_name, spread_text, status_words
from ddbench.tables.table import Panel, Table


def comparison_table(comparison: Comparison) -> Table:
    """Return a table that every format of `ddbench.tables.formats` can show."""
    return Table(tuple(_make_panel(comparison, group) for group in comparison.groups if group.rows))


def tidy_row(comparison: Comparison, group: Group, row: Compared) -> dict[str, Any]:
    """Return one compared entry as plain values; accuracies in percent, differences (a - b) in points."""
    estimate = row.estimate
    spreads = {"a": row.a.accuracy, "b": row.b.accuracy}
    return {
        "dataset": group.dataset,
        "protocol": group.protocol,
        "protocol_hash": group.protocol_hash,
        "network": group.network,
        "a": comparison.a,
        "b": comparison.b,
        "method": row.a.method if comparison.by_method else None,
        "config_a": row.a.config,
        "config_b": row.b.config,
        "ipc": "full" if row.a.ipc is None else row.a.ipc,
        **{f"{side}_mean": _rounded(spread.mean) for side, spread in spreads.items() if spread},
        **{f"{side}_std": _rounded(spread.std) for side, spread in spreads.items() if spread},
        **{f"{side}_seeds": spread.seeds for side, spread in spreads.items() if spread},
        "difference": _rounded(estimate.effect if estimate else _difference(row)),
        "low": _rounded(estimate.low) if estimate else None,
        "high": _rounded(estimate.high) if estimate else None,
        "level": comparison.level,
        "test": estimate.test if estimate else None,
        "pairs": len(row.shared) if row.is_paired else 0,
        "p": estimate.p if estimate else None,
        "p_holm": row.p_holm,
        "verdict": row.verdict,
    }


def _make_panel(comparison: Comparison, group: Group) -> Panel:
    none = pd.DataFrame()
    settings = _number_settings(comparison, group)
    return Panel(
        title=f"{group.dataset}, protocol {group.protocol}@{group.protocol_hash}, network {group.network}",
        header=(
            f"{comparison.title}, in test accuracy",
            *(f"settings of {side} {number}: {config}" for (side, config), number in settings.items()),
        ),
        accuracy=pd.DataFrame([_text_row(comparison, row, settings) for row in group.rows]),
        standings={},
        gain=none,
        published=none,
        cost=none,
        regimes=none,
        others=none,
        notes=tuple(_explain(comparison, group)),
        rows=tuple(tidy_row(comparison, group, row) for row in group.rows),
        entries=tuple(entry for row in group.rows for entry in (row.a, row.b)),
    )


def _number_settings(comparison: Comparison, group: Group) -> dict[tuple[str, str], int]:
    """Return a number for each of a side's settings, where it has several at one IPC."""
    numbers: dict[tuple[str, str], int] = {}
    for side, entries in ((comparison.a, [row.a for row in group.rows]), (comparison.b, [row.b for row in group.rows])):
        for number, config in enumerate(dict.fromkeys(entry.config for entry in entries if entry.config), 1):
            numbers[side, config] = number
    return numbers


def _text_row(comparison: Comparison, row: Compared, settings: dict[tuple[str, str], int]) -> dict[str, str]:
    estimate = row.estimate
    sides = ((comparison.a, row.a), (comparison.b, row.b))
    numbers = (settings.get((side, entry.config), GAP) for side, entry in sides)
    effect = f"{_difference(row):+.2f}"
    return {
        **({"method": row.a.method} if comparison.by_method else {}),
        **({"settings": " / ".join(map(str, numbers))} if settings else {}),
        "IPC": "full" if row.a.ipc is None else str(row.a.ipc),
        comparison.a: spread_text(row.a.accuracy),
        comparison.b: spread_text(row.b.accuracy),
        "difference": f"{effect} [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate else effect,
        "p": GAP if row.p_holm is None else "<0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}",
        "n": f"{len(row.shared)} pairs" if row.is_paired else ", ".join(map(str, _seeds(row))),
        "verdict": row.verdict,
    }


def _explain(comparison: Comparison, group: Group) -> list[str]:
    tests = dict.fromkeys(row.estimate.test for row in group.rows if row.estimate)
    notes = ["Students of one distilled set are averaged first; n counts distillation seeds."]
    if tests:
        count = f"{comparison.tests} test{'' if comparison.tests == 1 else 's'}"
        notes.append(
            f"Difference: {comparison.a} - {comparison.b} in points, with its own {100 * comparison.level:g} % "
            f"interval. p: {' or '.join(tests)}, two-sided, corrected for {count} (Holm)."
        )
    if any(row.verdict == "not distinguishable" for row in group.rows):
        notes.append("Not distinguishable: these seeds do not tell the two apart; the interval says what they allow.")
    for row in group.rows:
        notes += _row_notes(comparison, row)
    for side, entry in group.unmatched:
        size = "the whole training set" if entry.ipc is None else f"IPC {entry.ipc}"
        place = f" of {side}" if comparison.by_method else ""
        what = f"{entry.method} at {size}{place} ({entry_text(entry)})"
        notes.append(f"Not compared: {what}; the other side has no result there.")
    if group.duplicates:
        notes.append(f"Duplicate results left out: {group.duplicates}; `ddbench table` lists them.")
    results = [result for row in group.rows for entry in (row.a, row.b) for result in entry.results]
    return notes + _sharing_notes(comparison, group.rows) + older_data_notes(results)


def _row_notes(comparison: Comparison, row: Compared) -> list[str]:
    name = f"{row.a.method}, {ipc_name(row.a.ipc)}" if comparison.by_method else ipc_name(row.a.ipc)
    seeds, shared = _seeds(row), len(row.shared)
    notes = []
    if row.estimate is None:
        notes.append(
            f"{name}: {seeds[0]} and {seeds[1]} seeds, {shared} of them shared; a verdict needs {FEWEST_SEEDS} a side."
        )
    elif not row.is_paired:
        notes.append(f"{name}: seeds unpaired, because {shared} are shared and pairs need {FEWEST_SEEDS}.")
    elif max(seeds) > shared:
        others = " and ".join(
            f"{count - shared} more of {side}"
            for side, count in zip((comparison.a, comparison.b), seeds, strict=True)
            if count > shared
        )
        notes.append(
            f"{name}: the difference uses the {shared} seeds that both sides have; the means also count {others}, "
            "so they do not subtract to the difference."
        )
    if row.estimate is not None and row.estimate.low == row.estimate.high == 0:
        notes.append(f"{name}: both sides give the same numbers.")
    both = ((comparison.a, row.a), (comparison.b, row.b))
    for side, entry in both:
        if entry.not_ok:
            count = f"{len(entry.not_ok)} of {len(entry.results)} results"
            notes.append(f"{name}: {count} of {side} left out: {status_words(entry.not_ok)}.")
    is_one_method = row.a.method == row.b.method
    keys = varying_keys(settings_of(entry.results[0]) for entry in (row.a, row.b)) if is_one_method else ()
    if keys:
        sides = (
            f"{side} {', '.join(f'{key}={entry.results[0].config.get(key, GAP)}' for key in keys)}"
            for side, entry in both
        )
        notes.append(f"{name}: settings differ: {'; '.join(sides)}.")
    return notes


def _sharing_notes(comparison: Comparison, rows: Sequence[Compared]) -> list[str]:
    """Say whose seeds vary less than fresh runs would."""

    def is_shared(entry: Entry) -> bool:
        return any(result.foundation or (result.share_prepare and result.phase("prepare")) for result in entry.ok)

    found = dict.fromkeys(
        f"{entry.method} of {side}" if comparison.by_method else entry.method
        for row in rows
        for side, entry in ((comparison.a, row.a), (comparison.b, row.b))
        if is_shared(entry)
    )
    return [
        f"{name}: all seeds share one preparation, so the interval does not include its variation." for name in found
    ]


def _difference(row: Compared) -> float:
    if row.estimate is not None:
        return row.estimate.effect
    ours, theirs = row.a.accuracy, row.b.accuracy
    return ours.mean - theirs.mean if ours and theirs else float("nan")


def _seeds(row: Compared) -> list[int]:
    return [spread.seeds if spread else 0 for spread in (row.a.accuracy, row.b.accuracy)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
