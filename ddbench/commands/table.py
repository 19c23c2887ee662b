"""`ddbench table`: methods compared across IPC settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.commands._app import app
from ddbench.commands._showing import console, say


@app.command()
def table(
    results: Annotated[list[Path], typer.Argument(help="Results folders, cells or .jsonl files.")],
    format: Annotated[
        Literal["terminal", "md", "csv", "latex", "html", "json"], typer.Option(help="Output format.")
    ] = "terminal",
    published: Annotated[bool, typer.Option(help="Show published numbers in their own column.")] = False,
    mix_protocols: Annotated[bool, typer.Option(help="Allow different protocol hashes, shown as a column.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Compare methods across IPC settings: accuracy, spread, counts, time and memory."""
    from ddbench.files import write_text
    from ddbench.store import read_results
    from ddbench.table_formats import render
    from ddbench.tables import make_table

    made = make_table(read_results(results), published=published, mix_protocols=mix_protocols)
    if format == "terminal" and out is None:
        console().print(render(made, "terminal"))
        return
    text = render(made, "md" if format == "terminal" else format)
    if out is None:
        print(text)
    else:
        write_text(out, text)
        say(f"written to {out}")
