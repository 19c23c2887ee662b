"""Comparison tables as terminal, Markdown, CSV, LaTeX, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Literal, overload

import pandas as pd

from ddbench.errors import BadInputError
from ddbench.registry import suggest
from ddbench.tables.escaping import csv_cell, json_text, latex, markdown
from ddbench.tables.html import page_templates
from ddbench.tables.table import Table
from ddbench.tables.terminal import NAME_COLUMNS, SAME, UNTESTED, Standings, render_terminal

if TYPE_CHECKING:
    from rich.console import Group

TextFormat = Literal["md", "csv", "latex", "html", "json"]


@overload
def render(table: Table, fmt: Literal["terminal"]) -> Group: ...


@overload
def render(table: Table, fmt: TextFormat) -> str: ...


@overload
def render(table: Table, fmt: str) -> Group | str: ...


def render(table: Table, fmt: str) -> Group | str:
    """Return a table in one format: text, or for `terminal` what rich prints.

    Raises:
        BadInputError: no such format.
    """
    if fmt not in RENDERERS:
        raise BadInputError(f"format must be one of {', '.join(RENDERERS)}, got {fmt!r}; {suggest(fmt, RENDERERS)}")
    return RENDERERS[fmt](table)


def render_markdown(table: Table) -> str:
    """Return GitHub-flavoured Markdown: a heading per panel, padded tables, notes as a list."""
    parts = []
    for panel in table.panels:
        parts.append(f"## {markdown(panel.title)}")
        parts.append("\n".join(f"- {markdown(line)}" for line in panel.header))
        for caption, frame in panel.parts:
            marked = panel.standings if frame is panel.accuracy else {}
            parts.append(f"**{caption}**\n\n{_markdown_grid(frame, marked)}")
        parts.append("\n".join(f"- {markdown(note)}" for note in panel.notes))
    return "\n\n".join(parts) + "\n"


def render_csv(table: Table) -> str:
    """Return the tidy form: one line per entry, accuracies in percent, missing numbers empty.

    Text that a spreadsheet would run, such as a name that begins with `=`, begins with an apostrophe.
    """
    tidy = table.tidy.astype(object)
    safe = tidy.map(csv_cell, na_action="ignore").set_axis([csv_cell(name) for name in tidy.columns], axis=1)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def render_json(table: Table) -> str:
    """Return `{"accuracy_unit", "blocks": [{"title", "header", "notes", "rows"}]}`.

    The key of the panels is `blocks`, as in the first version of this output. Rows are the tidy records; a number that
    is missing or not finite is null.
    """
    panels = [
        {
            "title": panel.title,
            "header": panel.header,
            "notes": panel.notes,
            "rows": [{key: _finite(value) for key, value in row.items()} for row in panel.rows],
        }
        for panel in table.panels
    ]
    content = {"accuracy_unit": "percent", "blocks": panels}
    return json_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def render_latex(table: Table) -> str:
    """Return LaTeX with booktabs rules: one `table` float per part of each panel, notes in the text below them."""
    parts = [r"% needs \usepackage{booktabs}, and \usepackage{textcomp} where LaTeX is older than 2020"]
    for panel in table.panels:
        about = [f"{caption}: {panel.title}" for caption, _ in panel.parts]
        about[0] = "; ".join((about[0], *panel.header))
        for caption, (_, frame) in zip(about, panel.parts, strict=True):
            parts.append(_latex_table(caption, frame, panel.standings if frame is panel.accuracy else {}))
        # Outside the float, which would outgrow a page; and \par, because \\ takes the [1] of a note as its argument.
        notes = [rf"\noindent {latex(note)}\par" for note in panel.notes]
        parts.append("\n".join([r"{\footnotesize\raggedright", *notes, "}"]))
    return "\n\n".join(parts) + "\n"


def render_html(table: Table) -> str:
    """Return one HTML page that needs no other file: captions, header cells with scope, notes below each panel."""
    page = page_templates().get_template("table.html")
    return page.render(panels=table.panels, names=NAME_COLUMNS, body=_body) + "\n"


RENDERERS: dict[str, Callable[[Table], Group | str]] = {
    "terminal": render_terminal,
    "md": render_markdown,
    "csv": render_csv,
    "latex": render_latex,
    "html": render_html,
    "json": render_json,
}


def _body(frame: pd.DataFrame) -> list[list[str]]:
    return [[str(value) for value in row] for row in frame.to_numpy().tolist()]


def _marked_body(frame: pd.DataFrame, marked: Standings, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """Return the escaped cells of a frame, the best ones in bold and those that equal them marked."""
    body = [[escape(text) for text in row] for row in _body(frame)]
    for (row, column), standing in marked.items():
        if standing == "best":
            body[row][column] = bold.format(body[row][column])
        elif standing in ("same", "untested"):
            body[row][column] += f" {escape(SAME if standing == 'same' else UNTESTED)}"
    return body


def _markdown_grid(frame: pd.DataFrame, marked: Standings) -> str:
    lines = [[markdown(name) for name in frame.columns], *_marked_body(frame, marked, markdown, "**{}**")]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(frame.columns))]
    left = [name in NAME_COLUMNS for name in frame.columns]
    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    padded = [
        [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(line, widths, left, strict=True)]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def _latex_table(caption: str, frame: pd.DataFrame, marked: Standings) -> str:
    alignment = "".join("l" if name in NAME_COLUMNS else "r" for name in frame.columns)
    body = _marked_body(frame, marked, latex, r"\textbf{{{}}}")
    lines = [" & ".join(row) + r" \\" for row in ([latex(name) for name in frame.columns], *body)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{latex(caption)}}}",
            rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not isfinite(value) else value
