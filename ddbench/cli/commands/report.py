"""`ddbench report`: results as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import DataDir, app, path
from ddbench.cli._arguments import checked, has_results
from ddbench.cli._showing import Problems, say


@app.command()
def report(
    results: Annotated[
        list[Path], typer.Argument(parser=path, help="Results folders, cells or .jsonl files.", **checked(has_results))
    ],
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, help="Write the page to this file.")] = Path(
        "report.html"
    ),
    claims: Annotated[
        list[str] | None,
        typer.Option(help="Claims file whose verdicts the page shows, or one of `ddbench list claims`; repeatable."),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(parser=path, help="Also write the plots as PDF and SVG into this folder.")
    ] = None,
    mix_protocols: Annotated[
        bool, typer.Option("--mix-protocols", help="Allow different protocol hashes, shown as a column.")
    ] = False,
    data_dir: DataDir = None,
) -> int:
    """Write results as one HTML page: tables, plots, pictures, claims, and what stands behind each number."""
    from ddbench.claims import judge
    from ddbench.claims.shipped import find_claims
    from ddbench.report.page import write_report
    from ddbench.report.plots import write_plots
    from ddbench.runs.results_store import check_apart, read_results
    from ddbench.tables.table import make_table

    check_apart(out, results)
    problems = Problems()
    found = read_results(results, problems.tell)
    verdicts = judge([find_claims(name) for name in claims], found) if claims else ()
    page = write_report(found, out, sources=results, verdicts=verdicts, data_dir=data_dir, mix_protocols=mix_protocols)
    say(f"report: {page}")
    if plots is not None:
        paths = write_plots(make_table(found, mix_protocols=mix_protocols).panels, plots)
        say(f"{len(paths)} plots: {plots}")
    return problems.exit_code
