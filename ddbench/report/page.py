"""The report: one HTML page that needs no other file and no network, with what stands behind each number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import GAP
from ddbench.host.files import write_text
from ddbench.records import Result
from ddbench.report.claims import show_claims
from ddbench.report.matrix import matrices_of
from ddbench.report.pictures import Gallery, make_gallery
from ddbench.report.plot_style import number_rows
from ddbench.report.views import frame_rows, view_panel
from ddbench.tables.html import joined, page_templates
from ddbench.tables.table import Table, make_table
from ddbench.tables.terminal import NAME_COLUMNS

if TYPE_CHECKING:
    from ddbench.claims import Verdict


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
    views = [view_panel(index, panel, styles) for index, panel in enumerate(table.panels)]
    choices = {name: sorted({getattr(view, name) for view in views}) for name in ("dataset", "protocol", "network")}
    page = environment.get_template("report.html").render(
        views=views,
        matrices=matrices_of(table.panels),
        gallery=gallery,
        summary=_summarise(table),
        choices=choices,
        claims=show_claims(verdicts, choices),
        name_columns=NAME_COLUMNS,
        frame_rows=frame_rows,
        number_text=lambda value: GAP if value is None else f"{value:.3g}",
        counts_text=_counts_text,
        css=Markup(joined("report.css")),
        script=Markup(joined("page.js", "report.js")),
    )
    return page + "\n"


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
