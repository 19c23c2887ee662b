"""How `ddbench run --dry-run` shows a forecast: the total, a line for each method and size, what the words mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ddbench.analysis.aggregate import varying_keys
from ddbench.cli._showing import console, say
from ddbench.records import size_words
from ddbench.tables.quantities import duration_text
from ddbench.tables.terminal import Grid, Parts

if TYPE_CHECKING:
    from ddbench.forecast.suite_forecast import CellForecast, PhaseForecast

BASIS = "basis"
PHASES = ("prepare", "teacher", "distill", "evaluate")  # as in the forecast, whose module needs torch
MEANINGS = {
    "earlier": "from earlier results of this machine, scaled where the work differs",
    "calibrated": "from declared work, at this machine's speed as just measured",
    "there": "kept by an earlier run",
    "shared": "done by another cell",
    "unknown": "the method does not say how much work it does, and there is no earlier result with its settings",
}


def show_forecast(forecasts: Sequence[CellForecast]) -> None:
    """Print what all that will run costs, then each method and size, with its cells counted."""
    lines = summarise(forecasts)
    say(f"{lines[0]}\n")
    places: dict[tuple[str, str], list[CellForecast]] = defaultdict(list)
    for forecast in forecasts:
        places[forecast.cell.dataset, forecast.cell.network].append(forecast)
    for (dataset, network), found in places.items():
        rows = _rows(found)
        if rows:
            headings = [name for name in rows[0] if any(row[name] for row in rows)]
            words = {row[BASIS] for row in rows}
            if len(words) == 1 and set(words.pop().split(", ")) <= MEANINGS.keys():  # which lines below explain
                headings.remove(BASIS)
            frame = pd.DataFrame(rows)[headings]
            console().print(Parts((Grid.of(f"{dataset}, {network}", frame, {}),)))
    for line in lines[1:]:
        say(line)


def _rows(forecasts: Sequence[CellForecast]) -> list[dict[str, str]]:
    """Return a row for the cells of one method, size and state that will run or be skipped; done ones are a count."""
    configs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for forecast in forecasts:
        configs[forecast.cell.method].append(forecast.cell.config)
    keys = {method: varying_keys(found) for method, found in configs.items()}
    groups: dict[tuple[str, str, str, str], list[CellForecast]] = defaultdict(list)
    for forecast in forecasts:
        cell, state = forecast.cell, forecast.state
        if not state.startswith("done"):
            settings = ", ".join(f"{key}={cell.config[key]}" for key in keys[cell.method] if key in cell.config)
            groups[cell.method, settings, size_words(cell.ipc), state].append(forecast)
    return [_row(*key, found) for key, found in groups.items()]


def _row(method: str, settings: str, size: str, state: str, found: Sequence[CellForecast]) -> dict[str, str]:
    phases = {name: [one.phases[name] for one in found if name in one.phases] for name in PHASES}
    bases = dict.fromkeys(
        phase.basis for many in phases.values() for phase in many if phase.basis not in ("there", "shared")
    )
    peaks = [one.peak_bytes for one in found if one.phases]
    memory = "" if not peaks else describe_bytes(None if None in peaks else max(p for p in peaks if p is not None))
    note = "; ".join(filter(None, (state, ", ".join(bases))))
    costs = {name: _describe_phases(many) for name, many in phases.items()}
    row = {"method": method, "settings": settings, "size": size, "cells": str(len(found))}
    return {**row, **costs, "memory": memory, BASIS: note}


def _describe_phases(phases: Sequence[PhaseForecast]) -> str:
    """Return the seconds of a phase over some cells, `there` or `shared` where none of them does it."""
    own = [phase for phase in phases if phase.basis not in ("there", "shared")]
    if not own:
        return phases[0].basis if phases else ""
    known = [phase.seconds for phase in own if phase.seconds is not None]
    return "unknown" if not known else duration_text(sum(known)) + ("" if len(known) == len(own) else " + unknown")


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
            "Estimates for an otherwise idle machine, one cell at a time. How accurate they have been: "
            "docs/forecast.md. Nothing was run or written."
        )
    return lines


def describe_bytes(count: int | None) -> str:
    """Return bytes in MiB or GiB, `unknown` for None."""
    if count is None:
        return "unknown"
    return f"{count / 2**20:,.0f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
