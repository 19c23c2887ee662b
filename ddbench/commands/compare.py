"""`ddbench compare`: two methods, or two folders of results, against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ddbench.commands._app import app
from ddbench.commands._showing import console, say
from ddbench.errors import BadInputError

if TYPE_CHECKING:
    from ddbench.comparing import Comparison


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A method; without RESULTS, a results folder.")],
    b: Annotated[str, typer.Argument(help="What it is compared with, of the same sort.")],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders, cells or .jsonl files that hold both methods.")
    ] = None,
    level: Annotated[float, typer.Option(help="Of intervals; verdicts err at most at 1 - level.")] = 0.95,
    format: Annotated[
        Literal["terminal", "md", "csv", "latex", "html", "json"], typer.Option(help="Output format.")
    ] = "terminal",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Compare two methods, or two folders of results, at each IPC: difference, interval, test, and a verdict in words.

    `ddbench compare dm random_real results/` or `ddbench compare results_a/ results_b/`
    """
    from ddbench.compared_table import comparison_table
    from ddbench.files import write_text
    from ddbench.table_formats import render

    made = comparison_table(_compare(a, b, results or [], level))
    if format == "terminal" and out is None:
        console().print(render(made, "terminal"))
        return
    text = render(made, "md" if format == "terminal" else format)
    if out is None:
        print(text)
    else:
        write_text(out, text)
        say(f"written to {out}")


def _compare(a: str, b: str, results: list[Path], level: float) -> Comparison:
    from ddbench.comparing import Side, compare_methods, compare_sides
    from ddbench.store import read_results

    if results:
        return compare_methods(a, b, read_results(results), level)
    missing = [name for name in (a, b) if not Path(name).exists()]
    if missing:
        raise BadInputError(
            f"{missing[0]} is no results folder; compare two folders, or two methods and the results that hold them: "
            "ddbench compare dm random_real results/"
        )
    if Path(a).resolve() == Path(b).resolve():
        raise BadInputError(f"compare needs two different folders, got {a} twice")
    first, second = (Side(name, tuple(read_results([path])), path) for name, path in (("A", a), ("B", b)))
    return compare_sides(first, second, level)
