"""`ddbench export`: the older name of `ddbench table --format jsonl`, kept for a release."""

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
    """Write results as JSON lines: the older name of `ddbench table --format jsonl`."""
    from ddbench.runs.results_store import check_apart, read_results, write_lines

    check_apart(out, results)
    problems = Problems()
    found = [result for result in read_results(results, problems.tell) if not result.is_altered]
    write_lines(found, out)
    say(f"{len(found)} results written to {out}")
    say("note: this is `ddbench table --format jsonl` now; `export` goes with the next release")
    return problems.exit_code
