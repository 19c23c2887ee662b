"""`ddbench check`: the contract of a kind on one entry, a line for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ddbench.cli import _completion as completion
from ddbench.cli._app import app
from ddbench.cli._showing import say

if TYPE_CHECKING:
    from ddbench.testing import Outcome


@app.command()
def check(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] NAME",
            help="KIND is method (where none is given), network, dataset, evaluator, protocol, importer, "
            "exporter, runner or logger; NAME is built in or from a plug-in, such as dm, network convnet-d3 or "
            "dataset digits.",
            autocompletion=completion.contract_entries,
        ),
    ],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show where a rule that failed did so.")] = False,
) -> int:
    """Check that a method, network, data set or another plug-in keeps the contract of its kind."""
    from ddbench.testing.running import Kind, run_contract

    if len(what) > 2:
        raise typer.BadParameter(f"expected [KIND] NAME, got {' '.join(what)!r}; name one entry")
    if len(what) == 1 and what[0] in get_args(Kind):
        raise typer.BadParameter(f"which {what[0]}? ddbench check {what[0]} NAME, NAME one of ddbench list {what[0]}s")
    kind, name = what if len(what) == 2 else ("method", what[0])

    def show(outcome: Outcome) -> None:
        say(f"ok      {outcome.rule}" if outcome.holds else f"failed  {outcome.rule}: {outcome.reason}")
        if verbose and outcome.traceback:
            say(outcome.traceback)

    outcomes = run_contract(kind, name, show)
    kept = sum(outcome.holds for outcome in outcomes)
    say(f"{kind} {name}: {kept} of {len(outcomes)} rules hold")
    return int(kept < len(outcomes))
