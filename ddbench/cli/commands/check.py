"""`ddbench check`: the contract suite on one method."""

from __future__ import annotations

from typing import Annotated

import typer

from ddbench.cli._app import app


@app.command()
def check(method: Annotated[str, typer.Argument(help="Registered method, a plug-in's too.")]) -> int:
    """Run the contract suite on one method."""
    from ddbench.registry import METHODS
    from ddbench.testing import run_contract

    METHODS.get(method)
    return run_contract(method)
