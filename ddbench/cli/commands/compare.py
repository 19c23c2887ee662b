"""`ddbench compare`: two methods, or two folders of results, against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli._app import TableFile, TableFormat, app, path
from ddbench.cli._showing import Problems, show_or_write
from ddbench.errors import BadInputError
from ddbench.inputs.paths import as_path
from ddbench.registry import METHODS

if TYPE_CHECKING:
    from ddbench.analysis.comparison import Comparison
    from ddbench.records import Result


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(help="A method; without RESULTS, a results folder.", autocompletion=METHODS.names)
    ],
    b: Annotated[
        str,
        typer.Argument(
            help="The second method; without RESULTS, the second results folder.", autocompletion=METHODS.names
        ),
    ],
    results: Annotated[
        list[Path] | None,
        typer.Argument(parser=path, help="Results folders, cells or .jsonl files that hold both methods."),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Confidence level of intervals; verdicts have an error rate of at most 1 - level.")
    ] = 0.95,
    format: TableFormat = "terminal",
    out: TableFile = None,
) -> int:
    """Compare two methods, or two folders of results, at each IPC: difference, interval, test, and a verdict in words.

    `ddbench compare dm random_real results/` or `ddbench compare results_a/ results_b/`
    """
    from ddbench.runs.results_store import check_apart
    from ddbench.tables.comparison_table import comparison_table

    check_apart(out, results or [as_path(name) for name in (a, b)])
    problems = Problems()
    show_or_write(comparison_table(_compare(a, b, results or [], level, problems)), format, out)
    return problems.exit_code


def _compare(a: str, b: str, results: list[Path], level: float, problems: Problems) -> Comparison:
    from ddbench.analysis.comparison import Side, compare_methods, compare_sides
    from ddbench.runs.results_store import read_results

    def read(paths: list[Path]) -> list[Result]:
        return [result for result in read_results(paths, problems.tell) if not result.is_altered]

    if results:
        return compare_methods(a, b, read(results), level)
    folders = [as_path(name, "results folder") for name in (a, b)]
    missing = [folder for folder in folders if not folder.exists()]
    if missing:
        raise BadInputError(
            f"{missing[0]} is not a results folder; compare two folders, or two methods and the results that hold "
            "them: ddbench compare dm random_real results/"
        )
    if folders[0].resolve() == folders[1].resolve():
        raise BadInputError(f"compare needs two different folders, got {a} twice")
    sides = zip("AB", folders, strict=True)
    first, second = (Side(name, tuple(read([folder])), str(folder)) for name, folder in sides)
    return compare_sides(first, second, level)
