"""One cell as work that can be sent to another process, where it reports how far it is."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from ddbench.host.threads import set_threads_at_hand
from ddbench.records import Result
from ddbench.runner import Report
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.running import Reporter
from ddbench.runs.suite import Cell


@dataclass(frozen=True)
class CellWork:
    """Runs a cell.

    Attributes:
        cell: which.
        options: data folder, device, progress.
        threads: at hand in the run that sends it, so that numbers do not depend on where it comes to run; None for
            those of the process that it runs in.
    """

    cell: Cell
    options: RunOptions
    threads: int | None = None

    def __call__(self, folder: Path, reuse: Path | None, report: Report) -> Result:
        """Run the cell, as `run_cell` does."""
        if self.threads is not None:
            set_threads_at_hand(self.threads)
        report({"where": f"{socket.gethostname()}, process {os.getpid()}"})
        reporter = Reporter(report, self.options.track)

        def on_log(name: str, value: object) -> None:
            self.options.on_log(name, value)
            reporter.log(name, value)

        options = replace(self.options, track=reporter.track, on_log=on_log)
        return run_cell(self.cell, options, folder, reuse)
