"""`ddbench table`: methods compared across IPC settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ddbench.cli._app import TableFile, app, path
from ddbench.cli._showing import Problems, say, show_or_write
from ddbench.errors import BadInputError
from ddbench.host.collection import collection_paused


def row_order(text: str) -> str | int:
    """Return what an order of rows means on the command line."""
    if text in ("method", "accuracy"):
        return text
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise typer.BadParameter(f"expected method, accuracy or an IPC, got {text!r}")
    return int(text)


RowOrder = Annotated[
    Any,
    typer.Option(
        parser=row_order,
        metavar="method|accuracy|IPC",
        help="Order of rows: by name, by accuracy at the largest IPC, or by accuracy at an IPC.",
    ),
]


@app.command()
@collection_paused()
def table(
    results: Annotated[list[Path], typer.Argument(parser=path, help="Results folders, cells or .jsonl files.")],
    format: Annotated[
        Literal["terminal", "md", "csv", "latex", "html", "json", "jsonl"],
        typer.Option(
            "--format", case_sensitive=False, help="Output format; jsonl is the results themselves, one a line."
        ),
    ] = "terminal",
    published: Annotated[bool, typer.Option("--published", help="Show published numbers in their own column.")] = False,
    gain: Annotated[bool, typer.Option("--gain", help="Show how far methods are from random real images.")] = False,
    mix_protocols: Annotated[
        bool, typer.Option("--mix-protocols", help="Allow different protocol hashes, shown as a column.")
    ] = False,
    busy_costs: Annotated[
        bool, typer.Option("--busy-costs", help="Count times that were measured on a busy machine.")
    ] = False,
    methods: Annotated[
        str | None, typer.Option(help="Show these methods only, separated by commas.", show_default="all")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Show the N rows of the highest accuracy.", show_default="all"),
    ] = None,
    sort: RowOrder = "method",
    out: TableFile = None,
) -> int:
    """Compare methods across IPC settings: accuracy, spread, counts, time and memory.

    Exit code 1 where a result is damaged, and left out, or altered, and marked (in jsonl left out as well).
    """
    from ddbench.runs.results_store import check_apart, lines_of, read_results, write_lines
    from ddbench.tables.rows import RowChoice
    from ddbench.tables.table import make_table

    check_apart(out, results)
    problems = Problems()
    found = read_results(results, problems.tell)
    names = () if methods is None else tuple(filter(None, map(str.strip, methods.split(","))))
    if methods is not None and not names:
        raise BadInputError("--methods names no method; separate names with commas, such as dm,dsa")
    rows = RowChoice(names, top, sort)
    if format == "jsonl":
        if top is not None or sort != "method":
            raise BadInputError("--top and --sort choose rows of a table; jsonl has none: leave them out")
        found = list(rows.of_results(found))
        sound = [result for result in found if not result.is_altered]
        if out is None:
            say(lines_of(sound).removesuffix("\n"))
        else:
            write_lines(sound, out)
            say(f"{len(sound)} results written to {out}")
        return problems.exit_code
    table = make_table(
        found, published=published, gain=gain, mix_protocols=mix_protocols, busy_costs=busy_costs, rows=rows
    )
    show_or_write(table, format, out)
    return problems.exit_code
