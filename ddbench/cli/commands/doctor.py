"""`ddbench doctor`: the environment, and data that is fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from ddbench.cli._app import DataDir, app
from ddbench.cli._arguments import names_of
from ddbench.cli._showing import say
from ddbench.registry import DATASETS


@app.command()
def doctor(
    download: Annotated[
        str | None, typer.Option(help="Fetch this data set into the data folder.", **names_of(DATASETS))
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say where data sets were looked for, and their fingerprints.")
    ] = False,
    data_dir: DataDir = None,
) -> int:
    """Check the environment: versions, devices, which data sets are installed and how to get the others."""
    from ddbench.cli.doctor import diagnose, fetch

    if download is not None:
        say(fetch(download, data_dir))
        return 0
    findings = diagnose(data_dir)
    for finding in findings:
        details = f" ({finding.details})" if verbose and finding.details else ""
        say(f"{finding.mark} {finding.topic}: {finding.text}{details}")
    return 1 if any(finding.is_error for finding in findings) else 0
