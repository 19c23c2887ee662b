"""Accuracy of the same distilled sets on students of several networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ddbench.analysis.aggregate import Cell, Spread
from ddbench.tables.layout import ipc_name, spread_text
from ddbench.tables.table import Block

CROSS = re.compile(r"test_accuracy\[(.+)\]")
RowKey = tuple[str, str, str, int | None]


@dataclass(frozen=True)
class MatrixRow:
    """A method at one IPC: text per network, and its place between the lowest (0) and the highest (1) of the matrix."""

    method: str
    ipc: str
    entries: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class Matrix:
    """Methods and IPC by student network, of one data set and protocol."""

    dataset: str
    protocol: str
    networks: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


def matrices_of(blocks: Sequence[Block]) -> tuple[Matrix, ...]:
    """Return one matrix per data set and protocol that has sets measured on several networks."""
    found: dict[tuple[str, str, str], dict[RowKey, dict[str, Spread]]] = {}
    for block in blocks:
        for cell in block.cells:
            first = cell.results[0]
            where = (first.dataset, first.protocol, next((r.dataset_fingerprint for r in cell.ok), ""))
            rows = found.setdefault(where, {})
            row = rows.setdefault((*cell.row, cell.ipc), {})
            if cell.accuracy:  # students of the cell's own network count before those of a cross measurement
                row[first.network] = cell.accuracy
            for network, spread in _by_network(cell).items():
                row.setdefault(network, spread)
    matrices = []
    for (dataset, protocol, _), rows in found.items():
        several = {key: row for key, row in rows.items() if len(row) > 1}
        if several:
            matrices.append(_make_matrix(dataset, protocol, several))
    return tuple(matrices)


def _by_network(cell: Cell) -> dict[str, Spread]:
    spreads = {}
    for name in cell.other_metrics:
        network, spread = CROSS.fullmatch(name), cell.spread(name)
        if network and spread:
            spreads[network[1]] = spread
    return spreads


def _make_matrix(dataset: str, protocol: str, rows: dict[RowKey, dict[str, Spread]]) -> Matrix:
    networks = tuple(dict.fromkeys(network for row in rows.values() for network in row))
    means = [spread.mean for row in rows.values() for spread in row.values()]
    low, width = min(means), (max(means) - min(means)) or 1.0
    shown = []
    for (method, config, protocol_hash, ipc), row in rows.items():
        entries = tuple(
            (spread_text(row.get(network)), (row[network].mean - low) / width if network in row else None)
            for network in networks
        )
        shown.append(MatrixRow(" ".join(filter(None, (method, config, protocol_hash))), ipc_name(ipc), entries))
    return Matrix(dataset, protocol, networks, tuple(shown))
