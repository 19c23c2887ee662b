"""`ddbench run`: every cell of a suite."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli._app import DataDir, Device, Devices, Jobs, LogEvery, Loggers, RunWhere, app, path
from ddbench.cli._arguments import names_of, suites
from ddbench.cli._showing import report_unfinished, run_cells, show_table
from ddbench.errors import BadInputError
from ddbench.registry import RUNNERS

if TYPE_CHECKING:
    from ddbench.runs.suite import Suite


@app.command()
def run(
    suite: Annotated[
        str,
        typer.Argument(help="Suite file, or the name of one that ddbench ships.", **suites()),
    ],
    results: Annotated[Path, typer.Option(parser=path, help="Folder of results; a rerun continues in it.")] = Path(
        "results"
    ),
    device: Device = None,
    data_dir: DataDir = None,
    jobs: Jobs = "1",
    devices: Devices = 1,
    runner: Annotated[
        str, typer.Option(help="Where cells run: one of `ddbench list runners`.", **names_of(RUNNERS))
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="With --runner ray: the cluster's, such as auto or ray://HOST:10001.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what each cell will cost, and which are done.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file of the data sets again; trust no kept digest of one.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="With --dry-run: forecast for the machine whose measurements this folder holds (tests/gpu).",
        ),
    ] = None,
    logger: Loggers = None,
    log_every: LogEvery = 1,
) -> int:
    """Run every cell of a suite that has no result yet.

    Exit code 1 if any cell failed, was skipped or ran out of memory.
    """
    from ddbench.host.file_digests import recomputed_digests
    from ddbench.runs.suite import load_suite
    from ddbench.runs.suite_files import find_suite

    loaded = load_suite(find_suite(suite))
    if calibration is not None and not dry_run:
        raise BadInputError("--calibration goes with --dry-run: a run measures what it costs; leave one of them out")
    with recomputed_digests() if verify else nullcontext():
        if dry_run:
            _forecast(loaded, results, device, data_dir, calibration)
            return 0
        where = RunWhere(runner, jobs, address, devices)
        done = run_cells(loaded, results, device, data_dir, where, logger or (), log_every)
    show_table(done, published=False)
    return report_unfinished(done)


def _forecast(suite: Suite, results: Path, device: str | None, data_dir: Path | None, calibration: Path | None) -> None:
    from ddbench.cli._forecast_table import show_forecast
    from ddbench.forecast.suite_forecast import OtherMachine, forecast_suite
    from ddbench.runs.distill import RunOptions
    from ddbench.runs.results_store import Store

    elsewhere = None if calibration is None else OtherMachine.load(calibration)
    options = RunOptions(data_dir=data_dir, device=device)
    show_forecast(forecast_suite(suite, Store(results), options, elsewhere))
