"""Distilled sets that are there already: of a cell that differs in evaluation only, or of a run that was killed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled
from ddbench.errors import DDBenchError
from ddbench.host.files import digest_of
from ddbench.images import DatasetInfo
from ddbench.runs.results_store import SET_FIELDS, Store
from ddbench.runs.suite import Cell


def find_reusable(cell: Cell, cells: Sequence[Cell], store: Store, info: DatasetInfo) -> Path | None:
    """Return a distilled set of an earlier run that is this cell's own; one that is not, or damaged, is a warning.

    Args:
        cell: whose set is looked for.
        cells: of this suite that may have the same.
        store: the results folder.
        info: of the cell's data set.
    """
    for folder in (_find_distilled(cell, cells, store, info), store.rescue(cell.key)):
        if folder is None:
            continue
        try:
            if is_set_of(cell, load_distilled(folder), info):
                return folder
            problem = f"{folder} is of other work"
        except DDBenchError as error:
            problem = str(error)
        warnings.warn(f"a distilled set cannot be reused, so the cell distils its own: {problem}", stacklevel=3)
    return None


def is_set_of(cell: Cell, distilled: DistilledDataset, info: DatasetInfo) -> bool:
    """Return whether a distilled set was made by the method, settings, data and seed of a cell."""
    origin = distilled.provenance
    names = ("method", "distill_seed", "share_prepare")
    same = all(origin.get(name) == getattr(cell, name) for name in names) and distilled.ipc == cell.ipc
    data = (origin.get("dataset"), origin.get("dataset_fingerprint")) == (info.name, info.fingerprint)
    config = origin.get("config")
    return (
        same
        and data
        and isinstance(config, dict)
        and digest_of(config) == digest_of(cell.model_dump(mode="json")["config"])
    )


def _find_distilled(cell: Cell, cells: Sequence[Cell], store: Store, info: DatasetInfo) -> Path | None:
    """Return the distilled set of a finished cell that differs from `cell` in evaluation only.

    One of this suite, else of another that has been run in the same results folder.
    """
    for other in cells:
        if other.distill_key == cell.distill_key and other.key != cell.key:
            result = store.get(other.key)
            folder = store.distilled_folder(result) if result and result.status == "ok" else None
            if folder is not None:
                return folder
    fields = cell.model_dump(mode="json", include=set(SET_FIELDS))
    return store.find_set({**fields, "dataset": info.name, "dataset_fingerprint": info.fingerprint})
