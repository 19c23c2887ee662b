"""The report: one HTML page that needs no other file and no network, with what stands behind each number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ddbench.analysis.aggregate import GAP
from ddbench.analysis.marks import EntryKey, Mark, explain_marks, mark_entries
from ddbench.host.files import write_text
from ddbench.records import Result
from ddbench.report.circumstances import Circumstances, describe
from ddbench.report.matrix import matrices_of
from ddbench.report.pictures import Gallery, make_gallery
from ddbench.report.plot_style import INK, number_rows
from ddbench.report.plots import inline_svg, plots_of
from ddbench.report.summary import SummaryRow, names_in, summary_rows
from ddbench.tables.html import joined, page_templates
from ddbench.tables.layout import entry_text, group_rows, ipc_name
from ddbench.tables.table import Panel, Table, make_table
from ddbench.tables.terminal import NAME_COLUMNS

if TYPE_CHECKING:
    from ddbench.claims import Verdict

TRAITS = ("space", "labels", "student lr")
VERDICT_ORDER = ("refuted", "inconclusive", "not comparable", "supported", "not measured")  # what needs a look first


@dataclass(frozen=True)
class Shown:
    """One place of a table in the page: its text, and what sorts, marks and explains it."""

    text: str
    sort: float | None = None
    behind: str = ""
    mark: Mark | None = None
    source: str = ""


@dataclass(frozen=True)
class Numbers:
    """What stands behind one entry of the accuracy table."""

    id: str
    name: str
    text: str
    mark: Mark | None
    circumstances: Circumstances


@dataclass(frozen=True)
class Drawing:
    """A plot as an `<svg>` element."""

    id: str
    caption: str
    svg: str


@dataclass(frozen=True)
class PanelView:
    """One data set, protocol and network of the page."""

    id: str
    panel: Panel
    dataset: str
    protocol: str
    network: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]
    key: str
    notes: tuple[tuple[str, str, tuple[str, ...]], ...]
    summary: tuple[SummaryRow, ...]
    numbers: tuple[Numbers, ...]
    drawings: tuple[Drawing, ...]


def write_report(
    results: Sequence[Result],
    path: Path,
    *,
    sources: Iterable[Path] = (),
    verdicts: Sequence[Verdict] = (),
    data_dir: Path | None = None,
    mix_protocols: bool = False,
) -> Path:
    """Write the report of some results as one HTML file and return its path.

    Args:
        results: of any machines, data sets, protocols and networks.
        path: of the file; replaced in one step.
        sources: results folders and entries to look for distilled sets in.
        verdicts: judged claims to show.
        data_dir: where real data lies, for class names and the scale of pictures.
        mix_protocols: as for `make_table`.

    Raises:
        BadInputError: as `make_table`, or a place that cannot be written to.
    """
    table = make_table(results, published=True, mix_protocols=mix_protocols)
    write_text(path, render_page(table, make_gallery(table.panels, sources, data_dir), verdicts))
    return path


def render_page(table: Table, gallery: Gallery, verdicts: Sequence[Verdict] = ()) -> str:
    """Return the page as text; see `write_report`."""
    from markupsafe import Markup

    environment = page_templates()
    environment.filters["svg"] = Markup
    styles = number_rows(table.panels)
    views = [_view(index, panel, styles) for index, panel in enumerate(table.panels)]
    choices = {name: sorted({getattr(view, name) for view in views}) for name in ("dataset", "protocol", "network")}
    page = environment.get_template("report.html").render(
        views=views,
        matrices=matrices_of(table.panels),
        gallery=gallery,
        verdicts=verdicts,
        summary=_summarise(table),
        choices=choices,
        claims=_judged(verdicts, choices),
        verdict_counts=_count_verdicts(verdicts),
        name_columns=NAME_COLUMNS,
        frame_rows=_frame_rows,
        number_text=lambda value: GAP if value is None else f"{value:.3g}",
        counts_text=_counts_text,
        css=Markup(joined("report.css")),
        script=Markup(joined("page.js", "report.js")),
    )
    return page + "\n"


def _view(index: int, panel: Panel, styles: dict[str, int]) -> PanelView:
    name = f"b{index}"
    first = panel.entries[0].results[0]
    marks = mark_entries(panel.entries)
    methods = tuple(dict.fromkeys(entry.method for entry in panel.entries))
    # What describes a row stands right of its numbers: a phone shows the left part of a table first.
    frame = panel.accuracy[sorted(panel.accuracy.columns, key=lambda heading: heading in TRAITS)]
    ids = {(entry.row, entry.ipc): f"{name}c{position}" for position, entry in enumerate(panel.entries)}
    drawings = [
        Drawing(f"{name}-{plot.name}", plot.caption, inline_svg(plot, f"{name}-{plot.name}"))
        for plot in plots_of(panel, styles, INK)
    ]
    return PanelView(
        id=name,
        panel=panel,
        dataset=first.dataset,
        protocol=first.protocol,
        network=first.network,
        headings=tuple(frame.columns),
        rows=_accuracy_rows(name, panel, frame, marks, ids),
        key=explain_marks(marks.values()),
        notes=tuple((*_anchor(name, note), names_in(note, methods)) for note in panel.notes),
        summary=summary_rows(panel.entries, marks),
        numbers=tuple(
            Numbers(ids[key], entry.name, entry_text(entry), marks.get(key), describe(entry))
            for key, entry in zip(ids, panel.entries, strict=True)
        ),
        drawings=tuple(drawings),
    )


def _accuracy_rows(
    name: str, panel: Panel, frame: pd.DataFrame, marks: dict[EntryKey, Mark], ids: dict[EntryKey, str]
) -> tuple[tuple[Shown, ...], ...]:
    ipcs = {ipc_name(entry.ipc): entry.ipc for entry in panel.entries}
    rows = []
    for entries, texts in zip(group_rows(panel.entries).values(), _frame_rows(frame), strict=True):
        by_ipc = {entry.ipc: entry for entry in entries}
        shown = []
        for heading, text in zip(frame.columns, texts, strict=True):
            entry = by_ipc.get(ipcs[heading]) if heading in ipcs else None
            if entry is not None:
                accuracy, key = entry.accuracy, (entry.row, entry.ipc)
                shown.append(Shown(text, accuracy.mean if accuracy else None, ids[key], marks.get(key)))
            else:
                cited = re.search(r" \[(\d+)\]$", text) if heading.endswith(" published") else None
                shown.append(Shown(text, source=f"{name}-source-{cited[1]}" if cited else ""))
        rows.append(tuple(shown))
    return tuple(rows)


def _anchor(name: str, note: str) -> tuple[str, str]:
    """Return a note with the id that published numbers refer to; empty for a note that is no source."""
    number = re.match(r"\[(\d+)\] ", note)
    return (f"{name}-source-{number[1]}" if number else "", note)


def _frame_rows(frame: pd.DataFrame) -> list[list[str]]:
    return [[str(value) for value in row] for row in frame.to_numpy().tolist()]


def _count_verdicts(verdicts: Sequence[Verdict]) -> list[tuple[str, int]]:
    words = [claim.verdict for claim in verdicts]
    return [(word, words.count(word)) for word in VERDICT_ORDER if word in words]


def _judged(
    verdicts: Sequence[Verdict], choices: dict[str, list[str]]
) -> dict[str, list[tuple[Verdict, dict[str, str]]]]:
    """Return the claims with a verdict and those not measured, each with what it names of `choices`."""
    groups: dict[str, list[tuple[Verdict, dict[str, str]]]] = {"judged": [], "unmeasured": []}
    for claim in sorted(verdicts, key=lambda claim: VERDICT_ORDER.index(claim.verdict)):
        text = f"{claim.sentence} {claim.moved}"
        named = {choice: " ".join(names_in(text, options)) for choice, options in choices.items()}
        groups["unmeasured" if claim.verdict == "not measured" else "judged"].append((claim, named))
    return groups


def _summarise(table: Table) -> str:
    entries = [entry for panel in table.panels for entry in panel.entries]
    results = [result for entry in entries for result in entry.results]
    bad = sum(result.status != "ok" for result in results)
    days = sorted(result.started_at[:10] for result in results if result.started_at)
    period = "" if not days else f", run on {days[0]}" if days[0] == days[-1] else f", run from {days[0]} to {days[-1]}"
    methods = len({entry.method for entry in entries})
    places = f"{len(entries):,} {'entry' if len(entries) == 1 else 'entries'}"
    text = f"{_count(len(results), 'result')} of {_count(methods, 'method')} in {places}{period}."
    return text + (f" {_count(bad, 'result')} without a number." if bad else "")


def _counts_text(counts: object) -> str:
    """Return the observations of each side: `5`, or `5 and 3`."""
    sides = counts if isinstance(counts, tuple | list) else (counts,)
    return " and ".join(str(side) for side in sides if side is not None) or GAP


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
