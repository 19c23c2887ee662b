"""`ddbench table`: methods compared across IPC settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import TableFile, TableFormat, app, path
from ddbench.cli._showing import Problems, show_or_write


@app.command()
def table(
    results: Annotated[list[Path], typer.Argument(parser=path, help="Results folders, cells or .jsonl files.")],
    format: TableFormat = "terminal",
    published: Annotated[bool, typer.Option(help="Show published numbers in their own column.")] = False,
    mix_protocols: Annotated[bool, typer.Option(help="Allow different protocol hashes, shown as a column.")] = False,
    out: TableFile = None,
) -> int:
    """Compare methods across IPC settings: accuracy, spread, counts, time and memory.

    Exit code 1 where a result is damaged, and left out, or altered, and marked.
    """
    from ddbench.runs.results_store import check_apart, read_results
    from ddbench.tables.table import make_table

    check_apart(out, results)
    problems = Problems()
    found = read_results(results, problems.tell)
    show_or_write(make_table(found, published=published, mix_protocols=mix_protocols), format, out)
    return problems.exit_code
