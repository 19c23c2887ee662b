"""`ddbench export`: results as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import app, path
from ddbench.cli._showing import say


@app.command()
def export(
    results: Annotated[list[Path], typer.Argument(parser=path, help="Results folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, help="File of JSON lines to write.")],
) -> None:
    """Write results as JSON lines, the form of recorded baselines."""
    from ddbench.runs.results_store import read_results, write_lines

    found = read_results(results)
    write_lines(found, out)
    say(f"{len(found)} results written to {out}")
