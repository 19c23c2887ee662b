"""What the command line shows of results, from Python: tables, comparisons, data frames, plots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ddbench.errors import BadInputError
from ddbench.records import Result
from ddbench.runs.results_store import read_results
from ddbench.tables.table import Table, make_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Sequence[Result] | Result | Path | str


def table(results: Results, **options: Any) -> Table:  # noqa: ANN401 - those of make_table
    """Return the comparison of results across IPC, which a notebook shows; accuracies are in percent.

    Args:
        results: results, one result, or a folder or `.jsonl` file of them.
        options: of `ddbench.tables.table.make_table`: `published`, `gain`, `mix_protocols`, `busy_costs`, `rows`.

    Raises:
        BadInputError: as `make_table`.
    """
    return make_table(_as_list(results), **options)


def compare(a: str, b: str, results: Results, level: float = 0.95) -> Table:
    """Return two methods against each other at each IPC: difference, interval, test, and a verdict in words.

    Args:
        a: a method.
        b: the other one.
        results: results that hold both, or a folder or `.jsonl` file of them.
        level: of the intervals; verdicts have an error rate of at most 1 - level.

    Raises:
        BadInputError: no results of one of them, or nothing to compare.
    """
    from ddbench.analysis.comparison import compare_methods
    from ddbench.tables.comparison_table import comparison_table

    return comparison_table(compare_methods(a, b, [r for r in _as_list(results) if not r.is_altered], level))


def to_pandas(results: Results) -> pd.DataFrame:
    """Return one row a result: what it is of, its metrics as means over students, the seconds of its phases.

    `accuracy_percent` is the mean test accuracy in percent, as in tables; other metrics keep their unit.
    """
    rows = []
    for result in _as_list(results):
        told = ("method", "dataset", "ipc", "network", "protocol", "distill_seed", "eval_seed", "students", "status")
        row: dict[str, Any] = {name: getattr(result, name) for name in told}
        row["accuracy_percent"] = None if result.accuracy is None else 100 * result.accuracy
        row |= {metric.name: metric.mean for metric in result.metrics if metric.name != "test_accuracy"}
        row |= {f"{phase.name}_seconds": phase.reading.seconds for phase in result.phases}
        rows.append({**row, "config": result.config, "key": result.key})
    return pd.DataFrame(rows)


def plot(results: Results | Table, kind: str = "accuracy") -> Figure:
    """Return a plot of one data set, protocol and network, which a notebook shows; `.savefig(PATH)` keeps it.

    Args:
        results: results, a folder or `.jsonl` file of them, or a table.
        kind: `accuracy` over IPC with 95 % intervals over seeds, or what else there is enough for, such as `time`, the
            accuracy against the seconds to make a set.

    Raises:
        BadInputError: results of several panels of a table, or too few for such a plot.
    """
    from ddbench.report.plot_style import number_rows
    from ddbench.report.plots import plots_of

    panels = (results if isinstance(results, Table) else make_table(_as_list(results))).panels
    if len(panels) > 1:
        titles = "; ".join(panel.title for panel in panels)
        raise BadInputError(f"a plot is of one data set, protocol and network, got {titles}; choose the results of one")
    found = {plot.name: plot.figure for plot in plots_of(panels[0], number_rows(panels))}
    if kind not in found:
        there = ", ".join(found) or "none, which takes two entries with an accuracy at an IPC"
        raise BadInputError(f"these results give no plot {kind!r}; they give: {there}")
    figure = found[kind]
    setattr(figure, "_repr_png_", partial(_png_of, figure))  # noqa: B010 - by which a notebook shows it
    return figure


def _png_of(figure: Figure) -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=110, facecolor="white")
    return content.getvalue()


def _as_list(results: Results) -> list[Result]:
    if isinstance(results, Result):
        return [results]
    return read_results(results) if isinstance(results, str | Path) else list(results)
