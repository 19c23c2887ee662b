"""`ddbench table`: methods compared across IPC settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.cli._app import TableFile, app, path
from ddbench.cli._showing import Problems, say, show_or_write


@app.command()
def table(
    results: Annotated[list[Path], typer.Argument(parser=path, help="Results folders, cells or .jsonl files.")],
    format: Annotated[
        Literal["terminal", "md", "csv", "latex", "html", "json", "jsonl"],
        typer.Option(
            "--format", case_sensitive=False, help="Output format; jsonl is the results themselves, one a line."
        ),
    ] = "terminal",
    published: Annotated[bool, typer.Option(help="Show published numbers in their own column.")] = False,
    gain: Annotated[bool, typer.Option(help="Show how far methods are from random real images.")] = False,
    mix_protocols: Annotated[bool, typer.Option(help="Allow different protocol hashes, shown as a column.")] = False,
    busy_costs: Annotated[bool, typer.Option(help="Count times that were measured on a busy machine.")] = False,
    out: TableFile = None,
) -> int:
    """Compare methods across IPC settings: accuracy, spread, counts, time and memory.

    Exit code 1 where a result is damaged, and left out, or altered, and marked (in jsonl left out as well).
    """
    from ddbench.runs.results_store import check_apart, lines_of, read_results, write_lines
    from ddbench.tables.table import make_table

    check_apart(out, results)
    problems = Problems()
    found = read_results(results, problems.tell)
    if format == "jsonl":
        sound = [result for result in found if not result.is_altered]
        if out is None:
            say(lines_of(sound).removesuffix("\n"))
        else:
            write_lines(sound, out)
            say(f"{len(sound)} results written to {out}")
        return problems.exit_code
    table = make_table(found, published=published, gain=gain, mix_protocols=mix_protocols, busy_costs=busy_costs)
    show_or_write(table, format, out)
    return problems.exit_code
