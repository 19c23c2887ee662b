"""`ddbench export`: results as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import app, path
from ddbench.cli._showing import Problems, say


@app.command()
def export(
    results: Annotated[list[Path], typer.Argument(parser=path, help="Results folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, help="File of JSON lines to write.")],
) -> int:
    """Write results as JSON lines, the form of recorded baselines; what is damaged or altered is left out and named."""
    from ddbench.runs.results_store import check_apart, read_results, write_lines

    check_apart(out, results)
    problems = Problems()
    found = [result for result in read_results(results, problems.tell) if not result.is_altered]
    write_lines(found, out)
    say(f"{len(found)} results written to {out}")
    return problems.exit_code
