"""`ddbench status`: what runs now in a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import app, path
from ddbench.cli._showing import console, say
from ddbench.errors import BadInputError


@app.command()
def status(
    results: Annotated[Path, typer.Argument(parser=path, help="Folder of results that runs write to.")] = Path(
        "results"
    ),
) -> int:
    """Say what runs now in a results folder: which cells, since when, how far; and how many have ended."""
    from ddbench.cli._running_lines import running_lines
    from ddbench.runs.results_store import result_files
    from ddbench.runs.running import running_runs

    if not results.is_dir():
        raise BadInputError(f"{results} is not a folder; name one that `ddbench run` writes to")
    say(f"{results}: {len(result_files(results)):,} results")
    if running_runs(results):
        console().print(running_lines(results, says_where=True), soft_wrap=True)
    else:
        say("nothing runs in it")
    return 0
