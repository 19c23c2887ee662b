"""Comparison tables across IPC: results -> one panel per data set, protocol and network, beside published numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import pandas as pd

from ddbench.analysis.aggregate import GAP, PEAKS, PHASES, Entry, Spread, costs_of, drop_duplicates, make_entries
from ddbench.analysis.data_identity import DataIdentity, older_data_notes
from ddbench.analysis.marks import EntryKey, Mark, Standing, explain_marks, mark_entries
from ddbench.analysis.published import list_published
from ddbench.errors import BadInputError
from ddbench.host.collection import collection_paused
from ddbench.inputs.values import shown
from ddbench.records import Result
from ddbench.tables.busy_costs import busy_notes, count_busy
from ddbench.tables.gain_column import gain_frame, gain_notes
from ddbench.tables.label_regimes import regimes_frame, regimes_notes
from ddbench.tables.layout import (
    PROTOCOLS_LR,
    Citations,
    Published,
    accuracy_frame,
    cost_frame,
    differing,
    group_rows,
    ipc_name,
    name_machines,
    other_frame,
    row_traits,
    status_words,
    teacher_lines,
)
from ddbench.tables.notes import count_older, explain
from ddbench.tables.reproduction import (
    reproduction_fields,
    reproduction_frame,
    reproduction_notes,
    reproductions,
)
from ddbench.tables.rows import EVERY_ROW, RowChoice

MARKS = "Bold or *"  # the asterisk on a terminal, where bold does not last


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """The table of one data set, protocol and student network.

    Attributes:
        title: data set, protocol and network in one line.
        header: what holds for the whole panel, one line each.
        accuracy: methods by IPC, as text.
        standings: by row and column of `accuracy`, where an entry stands among those of its IPC.
        gain: accuracies less those of random real images, as text; empty where it was not asked for.
        cost: one row per method, IPC and machine, as text.
        published: accuracies at published settings beside the published ones, as text; empty where there are none.
        regimes: gains over random images by label regime, as text; empty where none were measured.
        others: further metrics, as text; empty where no result has any.
        notes: footnotes, one line each; those of sources start with their number in brackets.
        rows: one tidy record per entry, with plain numbers, see `tidy_row`.
        entries: the results behind it, entry by entry, in the order of `rows`.
    """

    title: str
    header: tuple[str, ...]
    accuracy: pd.DataFrame
    standings: Mapping[tuple[int, int], Standing]
    gain: pd.DataFrame
    published: pd.DataFrame
    cost: pd.DataFrame
    regimes: pd.DataFrame
    others: pd.DataFrame
    notes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    entries: tuple[Entry, ...]

    def __repr__(self) -> str:
        return f"Panel({self.title}: {len(self.accuracy)} rows)"

    @property
    def parts(self) -> tuple[tuple[str, pd.DataFrame], ...]:
        """Captions and frames to show, without the empty ones."""
        named = (
            ("Test accuracy (%)", self.accuracy),
            ("Less random_real (points)", self.gain),
            ("Beside published numbers (%)", self.published),
            ("Gain over random real images, by labels (points)", self.regimes),
            ("Cost", self.cost),
            ("Further metrics", self.others),
        )
        return tuple((name, frame) for name, frame in named if len(frame))


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Every panel of a comparison."""

    panels: tuple[Panel, ...]

    def __repr__(self) -> str:
        more = f" and {len(self.panels) - 1} more panels" if len(self.panels) > 1 else ""
        return f"Table({self.panels[0]!r}{more})" if self.panels else "Table()"

    def _repr_html_(self) -> str:
        shown = []
        for panel in self.panels:
            shown.append(f"<h4>{escape(panel.title)}</h4>")
            for caption, frame in panel.parts:
                shown += [f"<p>{escape(caption)}</p>", frame.to_html(index=False, border=0)]
            notes = "".join(f"<li>{escape(note)}</li>" for note in panel.notes)
            shown.append(f"<details><summary>Notes</summary><ul>{notes}</ul></details>")
        return f"<div>{''.join(shown)}</div>"

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The tidy records of all panels, each with the same keys."""
        found = [row for panel in self.panels for row in panel.rows]
        keys = dict.fromkeys(key for row in found for key in row)
        return tuple({key: row.get(key) for key in keys} for row in found)

    @property
    def tidy(self) -> pd.DataFrame:
        """One row per entry, numbers as numbers, missing ones as NA."""
        return pd.DataFrame(self.rows).convert_dtypes()


@collection_paused()
def make_table(
    results: Sequence[Result],
    *,
    published: bool = False,
    gain: bool = False,
    mix_protocols: bool = False,
    busy_costs: bool = False,
    rows: RowChoice = EVERY_ROW,
) -> Table:
    """Return the comparison of results.

    Args:
        results: of any machines, data sets, protocols and networks.
        published: show what papers print beside what was measured.
        gain: show how far each method is from random real images.
        mix_protocols: allow several contents (hashes) of one protocol name, and show which row has which.
        busy_costs: count seconds that were measured on a busy machine, which are left out otherwise.
        rows: which are shown, and in which order.

    Raises:
        BadInputError: no results, none of a method that is asked for, or several hashes of one protocol name without
            `mix_protocols`.
    """
    if not isinstance(results, list | tuple) or not all(isinstance(result, Result) for result in results):
        raise BadInputError(f"results must be a list of Result, got {shown(results)}; read_results reads them")
    if not results:
        raise BadInputError(
            "a table needs at least one result, got none; name a results folder that `ddbench run` wrote"
        )
    chosen = rows.of_results(results)
    groups = _group(results)
    if not mix_protocols:
        for group in groups:
            _check_hashes(group)
    versions = Counter((group[0].dataset, group[0].protocol, group[0].network) for group in groups)
    several = {name for name, count in versions.items() if count > 1}
    methods = {result.method for result in chosen}
    panels = [
        _make_panel(group, several, rows, published=published, gain=gain, busy_costs=busy_costs)
        for group in groups
        if any(result.method in methods for result in group)
    ]
    if older := count_older(chosen):
        panels[-1] = replace(panels[-1], notes=(*panels[-1].notes, older))
    return Table(tuple(panels))


def tidy_row(
    entry: Entry, published: Published, protocol: str, duplicates: int, *, busy_costs: bool = False
) -> dict[str, Any]:
    """Return one entry as a record of plain values; None where a thing was not measured or is not known.

    Accuracies are in percent. Costs are medians over the results on one machine, `cost_machine`, the one with most
    results where there are several. Seconds measured on a busy machine are left out unless
    `busy_costs`. Fields of `published_` are those of the number the table shows.
    """
    first, accuracy = entry.results[0], entry.accuracy
    machines = entry.by_machine()
    machine = next(iter(machines), None)
    costs = costs_of(machines[machine] if machine else (), busy=busy_costs)
    order = [f"{phase}_seconds" for phase in PHASES] + [f"{phase}_{kind}" for phase in PHASES for kind in PEAKS]
    rates = sorted({result.student_lr for result in entry.ok if result.student_lr is not None})
    return {
        "dataset": first.dataset,
        "dataset_fingerprint": first.dataset_fingerprint,
        "protocol": protocol,
        "protocol_hash": first.protocol_hash,
        "network": first.network,
        "method": entry.method,
        "config": entry.config,
        "ipc": "full" if entry.ipc is None else entry.ipc,
        "status": "ok" if entry.ok else status_words(entry.not_ok),
        "reason": "; ".join(dict.fromkeys(" ".join(result.reason.split()) for result in entry.not_ok)),
        "results_ok": len(entry.ok),
        "results_not_ok": len(entry.not_ok),
        **({"results_altered": altered} if (altered := sum(r.is_altered for r in entry.results)) else {}),
        **({"results_busy": busy} if (busy := count_busy(entry.ok)) else {}),
        "duplicates": duplicates,
        "accuracy_mean": _tidy_number(accuracy.mean if accuracy else None),
        "accuracy_std": _tidy_number(accuracy.std if accuracy else None),
        "seeds": accuracy.seeds if accuracy else 0,
        "students": _students(accuracy),
        "space": " ".join(sorted({result.space for result in entry.ok})),
        "label_mode": " ".join(sorted({result.label_mode for result in entry.ok})),
        "student_lr_min": rates[0] if rates else None,
        "student_lr_max": rates[-1] if rates else None,
        "share_prepare": any(result.share_prepare for result in entry.results),
        **{key: costs[key] for key in order},
        "distilled_bytes": costs["distilled_bytes"],
        "teacher_bytes": costs["teacher_bytes"],
        "cost_machine": machine,
        "machines": len(machines),
        "git_commit": " ".join(sorted({result.git_commit for result in entry.results})),
        **{f"{name}_mean": _tidy_number(spread.mean) for name in entry.other_metrics if (spread := entry.spread(name))},
        **_published_fields(entry, published),
    }


def _tidy_number(value: float | None) -> float | None:
    # Means of decimal fractions end in ...99999: six decimals of a percentage are below any measurement.
    return None if value is None else round(value, 6)


def _students(spread: Spread | None) -> int | str:
    if spread is None:
        return 0
    return spread.students[0] if len(set(spread.students)) == 1 else spread.student_text


def _published_fields(entry: Entry, published: Published) -> dict[str, Any]:
    found = published.get((entry.method, entry.ipc))
    if not found:
        return {}
    shown = found[0].shown
    return {
        "published_value": shown.value,
        "published_std": shown.std,
        "published_protocol": found[0].protocol,
        "published_source": shown.source,
        "published_kind": shown.kind,
        "published_verified": found[0].is_verified,
        "published_disagreeing": "; ".join(f"{n.value} ({n.kind}: {n.source})" for n in found[0].disagreeing),
        "published_note": shown.note,
    }


def _group(results: Sequence[Result]) -> list[list[Result]]:
    data = DataIdentity(results)
    groups: dict[tuple[str, str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.dataset, result.protocol, result.network, data.of(result)].append(result)
    return [groups[key] for key in sorted(groups)]


def _check_hashes(results: Sequence[Result]) -> None:
    counts = Counter(result.protocol_hash for result in results)
    if len(counts) > 1:
        first = results[0]
        found = ", ".join(f"{name or 'none'} ({count} results)" for name, count in sorted(counts.items()))
        raise BadInputError(
            f"results of dataset {first.dataset} and network {first.network} were made under several versions "
            f"of protocol {first.protocol}, with hashes {found}; make a table of each, or add --mix-protocols"
        )


def _make_panel(
    results: Sequence[Result],
    several: set[tuple[str, str, str]],
    choice: RowChoice,
    *,
    published: bool,
    gain: bool,
    busy_costs: bool,
) -> Panel:
    first = results[0]
    fingerprint = DataIdentity(results).of(first)
    data = f" (data {fingerprint})" if (first.dataset, first.protocol, first.network) in several else ""
    hashes = sorted({result.protocol_hash for result in results})
    kept, duplicates = drop_duplicates(results)
    every = make_entries(kept, with_hash=len(hashes) > 1)
    asked = [entry for entry in every if not choice.methods or entry.method in choice.methods]
    entries = choice.of_entries(asked)
    duplicates = [group for group in duplicates if not choice.methods or group[0].method in choice.methods]
    numbers = _look_up(entries, first) if published else {}
    citations = Citations(first.protocol)
    protocol = f"{first.protocol}@{hashes[0]}" if len(hashes) == 1 else f"{first.protocol}, {len(hashes)} contents"
    copies = Counter(id(group[0]) for group in duplicates for _ in group[1:])
    beside = reproductions(entries, numbers, first.protocol)
    by_entry = {id(each.entry): each for each in beside}
    cut = {name for name, each in by_entry.items() if each.differing}
    accuracy = accuracy_frame(entries, numbers, citations, cut)
    marks = mark_entries(entries)
    gains = gain_frame(every, entries) if gain else pd.DataFrame()
    return Panel(
        title=f"{first.dataset}{data}, protocol {protocol}, network {first.network}",
        header=_header(entries, fingerprint),
        accuracy=accuracy,
        standings=_standings(entries, accuracy, marks),
        gain=gains,
        published=reproduction_frame(beside, citations),
        cost=cost_frame(entries, busy_costs=busy_costs),
        regimes=regimes_frame(entries),
        others=other_frame(entries),
        notes=(
            *explain(
                entries, duplicates, citations if published else None, has_gap=bool((accuracy == GAP).any(axis=None))
            ),
            *busy_notes(entries, busy_costs=busy_costs),
            *filter(None, (explain_marks(marks.values(), MARKS),)),
            *(gain_notes(gains) if gain else ()),
            *regimes_notes(entries),
            *reproduction_notes(beside),
            *older_data_notes(results),
            *choice.notes(asked, entries),
        ),
        rows=tuple(
            {
                **tidy_row(
                    entry, numbers, first.protocol, sum(copies[id(r)] for r in entry.results), busy_costs=busy_costs
                ),
                **reproduction_fields(by_entry.get(id(entry))),
            }
            for entry in entries
        ),
        entries=entries,
    )


def _standings(
    entries: Sequence[Entry], accuracy: pd.DataFrame, marks: Mapping[EntryKey, Mark]
) -> dict[tuple[int, int], Standing]:
    """Return the standing of each marked entry by its place in the frame of accuracies."""
    rows, columns = ({name: at for at, name in enumerate(names)} for names in (group_rows(entries), accuracy.columns))
    return {(rows[row], columns[ipc_name(ipc)]): mark.standing for (row, ipc), mark in marks.items()}


def _look_up(entries: Sequence[Entry], first: Result) -> Published:
    found = {}
    # Every method at every IPC of the panel: a paper's number is worth showing where our own run is missing.
    for method in {entry.method for entry in entries}:
        for ipc in {entry.ipc for entry in entries}:
            listed = list_published(method, first.dataset, ipc, first.network)
            found[method, ipc] = tuple(sorted(listed, key=lambda entry: entry.protocol != first.protocol))
    return found


def _header(entries: Sequence[Entry], fingerprint: str) -> tuple[str, ...]:
    lines = [f"data fingerprint: {fingerprint}"] if fingerprint else []
    counts = Counter(entry.accuracy.counts for entry in entries if entry.accuracy)
    if counts:
        usual, number = counts.most_common(1)[0]
        lines.append(
            usual.replace(" seed", " distillation seed")
            + ("" if number == counts.total() else ", unless the notes say otherwise")
        )
    traits = [row_traits(found) for found in group_rows(entries).values()]
    common = next((t for t in traits if t["space"] != GAP), None)
    if common and not differing(traits):
        rate = "" if common["student lr"] == PROTOCOLS_LR else f", learned student lr {common['student lr']}"
        lines.append(f"distilled sets: space {common['space']}, {common['labels']} labels{rate}")
    lines += teacher_lines(entries)
    machines = name_machines(entries)
    names = [label if len(machines) == 1 else f"{letter} = {label}" for label, letter in machines.items()]
    return (*lines, f"{'machine' if len(machines) == 1 else 'machines'}: {'; '.join(names)}")
