"""Accuracy of the same distilled sets on students of several networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ddbench.analysis.aggregate import Entry, Spread
from ddbench.analysis.data_identity import DataIdentity
from ddbench.tables.layout import ipc_name, row_text, spread_text
from ddbench.tables.table import Panel

CROSS = re.compile(r"test_accuracy\[(.+)\]")
RowKey = tuple[str, str, str, int | None]


@dataclass(frozen=True)
class MatrixRow:
    """A method at one IPC: text per network, and its place between the lowest (0) and the highest (1) of the matrix."""

    method: str
    ipc: str
    values: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class Matrix:
    """Methods and IPC by student network, of one data set and protocol."""

    dataset: str
    protocol: str
    networks: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


def matrices_of(panels: Sequence[Panel]) -> tuple[Matrix, ...]:
    """Return one matrix per data set and protocol that has sets measured on several networks."""
    found: dict[tuple[str, str, str], dict[RowKey, dict[str, Spread]]] = {}
    data = DataIdentity(result for panel in panels for entry in panel.entries for result in entry.results)
    for panel in panels:
        for entry in panel.entries:
            first = entry.results[0]
            where = (first.dataset, first.protocol, next(map(data.of, entry.ok), ""))
            rows = found.setdefault(where, {})
            row = rows.setdefault((*entry.row, entry.ipc), {})
            if entry.accuracy:  # students of the entry's own network count before those of a cross measurement
                row[first.network] = entry.accuracy
            for network, spread in _by_network(entry).items():
                row.setdefault(network, spread)
    matrices = []
    for (dataset, protocol, _), rows in found.items():
        several = {key: row for key, row in rows.items() if len(row) > 1}
        if several:
            matrices.append(_make_matrix(dataset, protocol, several))
    return tuple(matrices)


def _by_network(entry: Entry) -> dict[str, Spread]:
    spreads = {}
    for name in entry.other_metrics:
        network, spread = CROSS.fullmatch(name), entry.spread(name)
        if network and spread:
            spreads[network[1]] = spread
    return spreads


def _make_matrix(dataset: str, protocol: str, rows: dict[RowKey, dict[str, Spread]]) -> Matrix:
    networks = tuple(dict.fromkeys(network for row in rows.values() for network in row))
    means = [spread.mean for row in rows.values() for spread in row.values()]
    low, width = min(means), (max(means) - min(means)) or 1.0
    shown = []
    for (method, config, protocol_hash, ipc), row in rows.items():
        values = tuple(
            (spread_text(row.get(network)), (row[network].mean - low) / width if network in row else None)
            for network in networks
        )
        shown.append(MatrixRow(row_text((method, config, protocol_hash)), ipc_name(ipc), values))
    return Matrix(dataset, protocol, networks, tuple(shown))
