"""How `ddbench run --dry-run` shows a forecast: a line for each cell, then totals and what the words mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddbench.cli._showing import console, plain_text, say
from ddbench.tables.quantities import duration_text

if TYPE_CHECKING:
    from ddbench.forecast.suite_forecast import CellForecast, PhaseForecast

MEANINGS = {
    "earlier": "from earlier results of this machine, scaled where the work differs",
    "calibrated": "from declared work, at this machine's speed as just measured",
    "there": "kept by an earlier run",
    "shared": "done by another cell",
    "unknown": "the method does not say how much work it does, and there is no earlier result with its settings",
}


def show_forecast(forecasts: Sequence[CellForecast]) -> None:
    """Print what each cell will cost, and all that will run."""
    from rich.table import Table

    from ddbench.forecast.suite_forecast import PHASES

    shown = [name for name in PHASES if any(name in forecast.phases for forecast in forecasts)]
    table = Table("cell", *shown, "TFLOP", "memory", "basis", box=None, padding=(0, 2, 0, 0))
    for forecast in forecasts:
        phases = forecast.phases
        cost = [_describe_phase(phases[name]) if name in phases else "" for name in shown]
        work = f"{sum(phase.flops for phase in phases.values()) / 1e12:,.3g}" if phases else ""
        memory = describe_bytes(forecast.peak_bytes) if phases else ""
        note = "; ".join(part for part in (forecast.state, _describe_basis(forecast)) if part)
        table.add_row(*map(plain_text, (forecast.cell.title, *cost, work, memory, note)))
    console().print(table)
    for line in summarise(forecasts):
        say(line)


def summarise(forecasts: Sequence[CellForecast]) -> list[str]:
    """Return the totals of the cells that will run, and what the bases in the table mean."""
    running = [forecast for forecast in forecasts if forecast.phases]
    done = sum(forecast.state.startswith("done") for forecast in forecasts)
    skipped = len(forecasts) - len(running) - done
    counts = [f"{len(running)} of {len(forecasts)} cells to run"]
    counts += [f"{done} done"] if done else []
    counts += [f"{skipped} will be skipped"] if skipped else []
    unknown = sum(forecast.num_unknown for forecast in running)
    total = duration_text(sum(forecast.seconds for forecast in running))
    peaks = [forecast.peak_bytes for forecast in running if forecast.peak_bytes is not None]
    lines = [f"{', '.join(counts)}: about {total}"]
    if unknown:
        lines[0] += f" and {unknown} phase{'s' if unknown > 1 else ''} of unknown length"
    if peaks:
        lines[0] += f", at most {describe_bytes(max(peaks))} of memory at once" + (
            " in the known ones" if unknown else ""
        )
    bases = dict.fromkeys(phase.basis for forecast in running for phase in forecast.phases.values())
    lines += [f"{basis}: {MEANINGS[basis]}" for basis in bases]
    if running:
        lines.append(
            "Seconds of a machine that does nothing else; how near they came: docs/forecast.md. "
            "Nothing has been run or written."
        )
    return lines


def describe_bytes(count: int | None) -> str:
    """Return bytes in MiB or GiB, `unknown` for None."""
    if count is None:
        return "unknown"
    return f"{count / 2**20:,.0f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"


def _describe_phase(phase: PhaseForecast) -> str:
    if phase.basis in ("there", "shared"):
        return phase.basis
    return "unknown" if phase.seconds is None else duration_text(phase.seconds)


def _describe_basis(forecast: CellForecast) -> str:
    """Return where a cell's seconds come from: one word where all phases agree."""
    bases = {name: phase.basis for name, phase in forecast.phases.items() if phase.basis not in ("there", "shared")}
    if len(set(bases.values())) == 1:
        return next(iter(bases.values()))
    return ", ".join(f"{name} {basis}" for name, basis in bases.items())
