"""`ddbench site`: results as a leaderboard of static pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import DataDir, app, path
from ddbench.cli._arguments import checked, has_results
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import Problems, say

LEFT_OUT = "left out: "


@app.command()
def site(
    results: Annotated[
        list[Path], typer.Argument(parser=path, help="Results folders, cells or .jsonl files.", **checked(has_results))
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=path, help="Write the pages into this folder, a new one or a site.")
    ] = Path("site"),
    data_dir: DataDir = None,
) -> int:
    """Write a leaderboard: a folder of static pages with rankings, intervals and a page for each method.

    It is opened from disk, and asks for nothing from a network. Altered results are listed and not ranked, and the
    exit code is then 1.
    """
    from ddbench.site.place import check_site_target

    check_site_target(out)
    say(f"reading results of {len(results)} {'place' if len(results) == 1 else 'places'}")

    from ddbench.runs.results_store import read_results
    from ddbench.site.writing import write_site

    problems, unread = Problems(), list[str]()

    def tell(problem: str) -> None:
        problems.tell(problem)
        if problem.startswith(LEFT_OUT):
            unread.append(problem.removeprefix(LEFT_OUT))

    found = read_results(results, tell)
    with taken_back_if_empty(out.parent):
        written = write_site(found, out, sources=results, unread=unread, data_dir=data_dir)
    counts = f"{written.rankings} rankings, {written.methods} methods"
    left_out = f", {written.left_out} results left out" if written.left_out else ""
    say(f"{len(found)} results: {counts}{left_out}; open {written.index}")
    return problems.exit_code
