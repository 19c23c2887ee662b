"""Plots of one panel of a table, for a page and for papers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ddbench.host.files import make_folder, staged_file
from ddbench.report.curves import plot_curves
from ddbench.report.pareto import Point, memory_points, plot_costs, time_points
from ddbench.report.plot_style import INK, ROW, number_rows, place_rows, plot_settings, rank_rows
from ddbench.report.regimes import gains_to_plot, plot_regimes
from ddbench.tables.gain_column import BASELINE
from ddbench.tables.layout import name_machines
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 50  # of a plot, beside the baselines


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure with what people and files call it, and the method that it is of; empty for one of several."""

    name: str
    caption: str
    figure: Figure
    method: str = ""


@dataclass(frozen=True)
class Drawing:
    """A plot as an `<svg>` element, and the method that it is of; empty for one of several."""

    id: str
    caption: str
    svg: str
    method: str


def plots_of(panel: Panel, styles: dict[str, int], ink: str = "black") -> list[Plot]:
    """Return the plots that a panel has two points or more for; costs of different machines are never in one plot.

    Args:
        panel: of a table.
        styles: a number for each row's name, which chooses its colour and marker; see `number_rows`.
        ink: colour of axes and text.
    """
    plots = []
    panel, left_out = _best_rows(panel)
    styles = place_rows(panel, styles)
    if len(gains_to_plot(panel)) > 1:
        with plot_settings(ink):
            caption = "Gain over random real images by labels, with 95 % intervals over seeds"
            plots.append(Plot("regimes", caption + left_out, plot_regimes(panel, styles)))
    measured = [entry.ipc for entry in panel.entries if entry.accuracy is not None and entry.ipc is not None]
    if len(measured) < 2:
        return plots
    machines = name_machines(panel.entries)
    against = f"at IPC {measured[0]}" if len(set(measured)) == 1 else "by images per class"
    caption = f"Test accuracy {against}, with 95 % intervals over seeds{left_out}"
    with plot_settings(ink):
        plots.insert(0, Plot("accuracy", caption, plot_curves(panel, styles)))
        for machine, letter in machines.items():
            place, suffix = (f", machine {letter}", f"-{letter}") if len(machines) > 1 else ("", "")
            time, (memory, memory_label) = time_points(panel, machine), memory_points(panel, machine)
            for name, caption, points, label in (
                ("time", "Test accuracy against the time to make the set", time, "prepare + distill (s)"),
                ("memory", "Test accuracy against peak memory while making the set", memory, memory_label),
            ):
                if sum(map(len, points.values())) > 1 and not _is_flat(points, label):
                    figure = plot_costs(panel, points, styles, label)
                    plots.append(Plot(name + suffix, caption + place + left_out, figure))
    return plots


def _best_rows(panel: Panel) -> tuple[Panel, str]:
    """Return a panel of the best `MOST_ROWS` rows beside the baselines, and what a caption says of that."""
    ranked = rank_rows(panel)
    if len(ranked) <= MOST_ROWS:
        return panel, ""
    best = {*ranked[:MOST_ROWS]}
    kept = (e for e in panel.entries if e.row in best or e.method == BASELINE or e.ipc is None)
    return replace(panel, entries=tuple(kept)), f"; the best {MOST_ROWS} of {len(ranked):,} rows"


def _is_flat(points: Mapping[tuple[str, str, str], Sequence[Point]], label: str) -> bool:
    """Return whether a cost hardly differs; of host memory, what Python and torch take by themselves is most of it."""
    costs = [point.cost for found in points.values() for point in found]
    return max(costs) < (1.1 if "no GPU" in label else 1.01) * min(costs)


def write_plots(panels: Sequence[Panel], folder: Path) -> list[Path]:
    """Write every plot of every panel as PDF and SVG and return the paths, PDF first."""
    make_folder(folder)
    styles, paths = number_rows(panels), []
    for panel in panels:
        for plot in plots_of(panel, styles):
            for artist in plot.figure.findobj(lambda artist: artist.get_gid() is not None):
                artist.set_gid(None)  # ids of a page, which a file would have several times
            stem = re.sub(r"[^A-Za-z0-9.@=-]+", "_", f"{panel.title}-{plot.name}")
            for kind in ("pdf", "svg"):
                path = folder / f"{stem}.{kind}"
                with plot_settings("black"), staged_file(path) as temporary:
                    # No date: the same results give the same files.
                    date = {"CreationDate": None} if kind == "pdf" else {"Date": None}
                    plot.figure.savefig(temporary, format=kind, metadata=date, transparent=True)
                paths.append(path)
    return paths


def draw_inline(prefix: str, plots: Iterable[Plot]) -> tuple[Drawing, ...]:
    """Return plots for a page, their ids beginning with `prefix`."""
    ids = ((f"{prefix}-{plot.name}", plot) for plot in plots)
    return tuple(Drawing(name, plot.caption, inline_svg(plot, name), plot.method) for name, plot in ids)


def inline_svg(plot: Plot, prefix: str) -> str:
    """Return a plot as an `<svg>` element for a page: text as text, in the page's colour; ids begin with `prefix`."""
    text = StringIO()
    with plot_settings(INK):
        plot.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", svg, flags=re.DOTALL)  # its rules would hold for the whole page
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(rf' id="{ROW}([^"]*)"', r' data-row="\1"', svg)
    svg = re.sub(r' id="([^"]+)"', rf' id="{prefix}-\1"', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace(INK, "currentColor")
    size = re.search(r'<svg[^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    start = f'<svg viewBox="0 0 {size[1]} {size[2]}" role="img" aria-labelledby="{prefix}-caption" class="plot">'
    return start + svg[svg.index(">") + 1 :].strip()
