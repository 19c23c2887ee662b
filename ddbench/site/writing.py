"""Writes the site: an index of rankings and a page for each method; nothing in it asks for anything from a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ddbench.analysis.marks import LEVEL
from ddbench.host.files import staged_folder, write_text
from ddbench.records import Result
from ddbench.report.pictures import Infos, find_sets
from ddbench.site.left_out import LeftOut, sort_out
from ddbench.site.methods import MethodPage, Pages
from ddbench.site.place import MARKER, check_site_target, write_marker
from ddbench.site.rankings import Ranking, panels_of, rankings_of
from ddbench.tables.html import joined, page_templates
from ddbench.tables.terminal import NAME_COLUMNS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

INDEX, METHODS_FOLDER = "index.html", "methods"
SHOWN_FIRST = 12  # rankings that the index shows before it is asked for more
# Filters of the index, by the name that they have in the address, which is an attribute of a ranking too.
FILTERS = {"dataset": "Data set", "ipc": "IPC", "protocol": "Protocol", "labels": "Labels", "network": "Network"}


@dataclass(frozen=True)
class Written:
    """What was written: where, and how much of what."""

    index: Path
    rankings: int
    methods: int
    left_out: int


def write_site(
    results: Sequence[Result],
    out: Path,
    *,
    sources: Iterable[Path] = (),
    unread: Sequence[str] = (),
    data_dir: Path | None = None,
) -> Written:
    """Write results as a site into `out`, whole or not at all.

    Args:
        results: of any machines, data sets, protocols and networks.
        out: a new or empty folder, or one with an earlier site, which is replaced.
        sources: results folders to look for distilled sets in, for their pictures.
        unread: one line for each result that could not be read, to be listed as left out.
        data_dir: where real data lies, for class names and the scale of pictures.

    Raises:
        BadInputError: another folder, or one that cannot be written to.
    """
    check_site_target(out)
    sound, left_out = sort_out(results)
    left_out = (*left_out, *(LeftOut(problem, "could not be read") for problem in unread))
    panels = panels_of(sound)
    rankings = rankings_of(panels)
    pages = Pages(panels, rankings, find_sets(sources), Infos(data_dir))
    environment = _environment()
    methods: list[MethodSummary] = []
    with staged_folder(out) as staging:
        (staging / METHODS_FOLDER).mkdir()
        for name, file in pages.files.items():
            page = pages.make(name)  # one at a time: a page may hold megabytes of pictures
            write_text(staging / METHODS_FOLDER / file, _render_method(environment, page))
            methods.append(MethodSummary.of(page))
        write_text(staging / INDEX, _render_index(environment, sound, rankings, methods, pages.files, left_out))
        written = [path.relative_to(staging).as_posix() for path in staging.rglob("*.html")]
        write_marker(staging, [*written, MARKER])
    return Written(out / INDEX, len(rankings), len(methods), len(left_out))


@dataclass(frozen=True)
class MethodSummary:
    """A method in the index: in how many rankings it stands, and in how many of them among the best."""

    name: str
    about: str
    rankings: int
    best: int

    @classmethod
    def of(cls, page: MethodPage) -> MethodSummary:
        """Return what the index says of a page."""
        return cls(page.name, page.about, page.rankings, page.best)


def _environment() -> Environment:
    from markupsafe import Markup

    environment = page_templates()
    environment.filters["svg"] = Markup
    environment.globals.update(css=Markup(joined("report.css", "site.css")), policy=policy_of, script=script_of)
    return environment


def script_of(page: str) -> Markup:
    """Return the script of a kind of page, `index` or `method`."""
    from markupsafe import Markup

    return Markup(joined("page.js", "site.js") if page == "index" else joined("page.js", "site_method.js"))


def policy_of(page: str) -> str:
    """Return the security policy of a page: it may load nothing, and run no script but its own, known by its hash."""
    digest = base64.b64encode(hashlib.sha256(script_of(page).encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _render_method(environment: Environment, page: MethodPage) -> str:
    template = environment.get_template("site_method.html")
    return template.render(page=page, name_columns=NAME_COLUMNS, frame_rows=_frame_rows) + "\n"


def _render_index(
    environment: Environment,
    results: Sequence[Result],
    rankings: Sequence[Ranking],
    methods: Sequence[MethodSummary],
    files: Mapping[str, str],
    left_out: Sequence[LeftOut],
) -> str:
    return (
        environment.get_template("site_index.html").render(
            rankings=rankings,
            methods=methods,
            files=files,
            left_out=left_out,
            summary=_summarise(results, rankings, methods),
            level=f"{100 * (1 - LEVEL):.0f}",
            filters=FILTERS,
            choices={name: _choices(rankings, name) for name in FILTERS},
            shown_first=SHOWN_FIRST,
            older=sum(result.standing == "older" for result in results),
        )
        + "\n"
    )


def _choices(rankings: Iterable[Ranking], name: str) -> list[str]:
    return [str(value) for value in sorted({getattr(ranking, name) for ranking in rankings})]


def _frame_rows(frame: pd.DataFrame) -> Iterator[list[str]]:
    return ([str(value) for value in row] for row in frame.to_numpy().tolist())


def _summarise(results: Sequence[Result], rankings: Sequence[Ranking], methods: Sequence[MethodSummary]) -> str:
    days = sorted(result.started_at[:10] for result in results if result.started_at)
    period = "" if not days else f", run on {days[0]}" if days[0] == days[-1] else f", run from {days[0]} to {days[-1]}"
    counts = ((len(results), "result"), (len(methods), "method"), (len(rankings), "ranking"))
    words = [f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in counts]
    return f"{words[0]} of {words[1]} in {words[2]}{period}."
