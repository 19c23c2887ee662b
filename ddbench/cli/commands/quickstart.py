"""`ddbench quickstart`: every baseline on the embedded digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import Device, Jobs, LogEvery, Loggers, RunWhere, app, path
from ddbench.cli._showing import report_unfinished, run_cells, say, show_table


@app.command()
def quickstart(
    out: Annotated[
        Path, typer.Option(parser=path, help="Folder for results, pictures and the report; a rerun continues in it.")
    ] = Path("quickstart"),
    device: Device = None,
    jobs: Jobs = "auto",
    logger: Loggers = None,
    log_every: LogEvery = 1,
) -> int:
    """Run every baseline on the embedded digits, print the table and keep results, sets, pictures and a report."""
    from ddbench.dataset import load_dataset
    from ddbench.distilled.files import load_distilled
    from ddbench.distilled.grid import save_grid
    from ddbench.host.files import baselines_dir, write_text
    from ddbench.report.page import write_report
    from ddbench.runs.results_store import Store
    from ddbench.runs.suite import load_suite
    from ddbench.tables.formats import render
    from ddbench.tables.table import make_table

    suite = load_suite(baselines_dir() / "suites" / "digits_quick.yaml")
    store = Store(out / "results")
    done = run_cells(suite, store.root, device, None, RunWhere(jobs=jobs), logger or (), log_every)
    info = load_dataset("digits").info
    pictures = out / "pictures"
    pictures.mkdir(exist_ok=True)
    for result in done:
        folder = store.distilled_folder(result)
        if folder is not None and result.distill_seed == 0:
            save_grid(load_distilled(folder), info, pictures / f"{result.method}_ipc{result.ipc}.png")
    show_table(done, published=False)
    write_text(out / "table.md", render(make_table(done), "md"))
    say(f"results and distilled sets: {store.root}\npictures: {pictures}\ntable: {out / 'table.md'}")
    say(f"report, to open in a browser: {write_report(done, out / 'report.html', sources=[store.root])}")
    say("The protocol `quick` is for checking an installation; its numbers are never comparable with `dsa`.")
    say("next: ddbench list, ddbench run cifar10_small, or CONTRIBUTING.md to add a method")
    return report_unfinished(done)
