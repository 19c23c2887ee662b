"""The report: one HTML page that needs no other file and no network, with what stands behind each number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ddbench.analysis.aggregate import GAP
from ddbench.host.files import write_text
from ddbench.records import Result
from ddbench.report.claims import show_claims
from ddbench.report.losses import find_logs
from ddbench.report.matrix import matrices_of
from ddbench.report.pictures import Gallery, make_gallery
from ddbench.report.plot_style import number_rows
from ddbench.report.ranks import show_ranks
from ddbench.report.views import PanelView, frame_rows, view_panel
from ddbench.tables.html import joined, page_templates
from ddbench.tables.table import Panel, make_table
from ddbench.tables.terminal import NAME_COLUMNS

if TYPE_CHECKING:
    from jinja2 import Template

    from ddbench.claims import Verdict

SPLIT_ABOVE = 10_000  # results; one page of more takes long to open


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

    Above `SPLIT_ABOVE` results of several data sets it is a page with the summary, and one for each beside it.

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
    places = list(sources)
    panels = dict(enumerate(table.panels))
    gallery, logs, styles = make_gallery(table.panels, places, data_dir), find_logs(places), number_rows(table.panels)

    def view(chosen: Iterable[int]) -> list[PanelView]:
        return [view_panel(index, panels[index], styles, logs) for index in chosen]

    by_dataset: dict[str, list[int]] = {}
    for index, panel in panels.items():
        by_dataset.setdefault(panel.entries[0].results[0].dataset, []).append(index)
    if len(by_dataset) == 1 or len(results) <= SPLIT_ABOVE:
        write_text(path, _render(view(panels), gallery, verdicts))
        return path
    listed: list[PanelView] = []
    for number, (dataset, chosen) in enumerate(sorted(by_dataset.items()), 1):
        part, views = _name_part(path, number, dataset), view(chosen)
        write_text(path.with_name(part), _render(views, gallery, home=quote(path.name)))
        listed += [shown.as_listed(quote(part)) for shown in views]
    write_text(path, _render(listed, Gallery({}, ()), verdicts))
    return path


def _render(views: Sequence[PanelView], gallery: Gallery, verdicts: Sequence[Verdict] = (), home: str = "") -> str:
    from markupsafe import Markup

    choices = {name: sorted({getattr(view, name) for view in views}) for name in ("dataset", "protocol", "network")}
    panels = [view.panel for view in views]
    page = _template().render(
        views=views,
        here=[view for view in views if not view.page],
        home=home,
        matrices=matrices_of([view.panel for view in views if not view.page]),
        notes=() if home else gallery.notes,
        pictures=[(view, gallery.pictures[view.index]) for view in views if view.index in gallery.pictures],
        ranks=() if home else show_ranks(panels),
        summary=_summarise(panels),
        choices=choices,
        claims=show_claims(verdicts, choices),
        name_columns=NAME_COLUMNS,
        frame_rows=frame_rows,
        number_text=lambda value: GAP if value is None else f"{value:.3g}",
        counts_text=_counts_text,
        css=Markup(joined("report.css")),
        script=Markup(joined("page.js", "copy.js", "pictures.js", "report.js")),
    )
    return page + "\n"


@lru_cache(maxsize=1)
def _template() -> Template:
    """Return the page's template, compiled once for all pages of a report."""
    from markupsafe import Markup

    environment = page_templates()
    environment.filters["svg"] = Markup
    return environment.get_template("report.html")


def _name_part(path: Path, number: int, dataset: str) -> str:
    """Return the name of a data set's file; numbers keep apart what is the same in letters of files."""
    return f"{path.stem}-{number}-{re.sub(r'[^A-Za-z0-9.@=-]+', '_', dataset)[:60]}{path.suffix}"


def _summarise(panels: Sequence[Panel]) -> str:
    entries = [entry for panel in panels for entry in panel.entries]
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
