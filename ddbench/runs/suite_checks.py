"""What is looked at before a suite runs, so that what cannot be is told before hours of work."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from ddbench.engine.arithmetic import check_precision
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.machine import resolve_device
from ddbench.images import DatasetInfo
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS
from ddbench.runs.distill import RunOptions, load_real
from ddbench.runs.results_store import Store
from ddbench.runs.suite import Cell
from ddbench.runs.turns import FINISHED
from ddbench.seeding import make_generator


def check_protocols(cells: list[Cell], options: RunOptions) -> None:
    """Look at every protocol, so that what this device cannot do is told before hours of work."""
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        check_precision(PROTOCOLS.get(protocol).precision, resolve_device(options.device))


def look_at_data(datasets: Iterable[str], options: RunOptions) -> dict[str, DatasetInfo]:
    """Load every data set, so that what is missing is told before hours of work, and return what each is, by spec."""
    return {spec: load_real(spec, options).info for spec in dict.fromkeys(datasets)}


def check_networks(cells: list[Cell], infos: Mapping[str, DatasetInfo]) -> None:
    """Build every network once; raise BadInputError for one that none of the data sets has the right images for.

    One that is too small for the images of some data sets alone gives cells without a number there, and a table of the
    others.
    """
    for name in dict.fromkeys(name for cell in cells for name in (cell.network, *cell.cross_networks)):
        refusals = []
        for info in infos.values():
            try:
                make_network(name, InputShape.of(info), make_generator(0, "check"))
            except BadInputError as error:
                refusals.append(error)
        if len(refusals) == len(infos):
            raise refusals[0]


def check_sizes(cells: list[Cell], infos: Mapping[str, DatasetInfo]) -> None:
    """Raise BadInputError where a method is to make images of a size that the protocol's students cannot be shown."""
    for cell in cells:
        made, seen = cell.config.get("image_size"), infos[cell.dataset].image_size
        if made not in (None, seen) and not PROTOCOLS.get(cell.protocol).resize:
            raise BadInputError(
                f"{cell.method} would make images of {made} px, but students see {seen}: protocol {cell.protocol} "
                "does not resize images; leave image_size out, or use imagenet-hard"
            )


def of_data(cell: Cell, infos: Mapping[str, DatasetInfo]) -> Cell:
    """Return a cell that says of which content its data set is, where the name does not."""
    return cell.model_copy(update={"dataset_fingerprint": infos[cell.dataset].cell_fingerprint})


def check_recorded(cells: Iterable[Cell], store: Store, infos: Mapping[str, DatasetInfo]) -> dict[str, str]:
    """Return the digests of results that are whole but not finished, such as failed ones, by key.

    Raises:
        DataMismatchError: a finished result is of other data under the same name, which stands for one.
    """
    unfinished: dict[str, str] = {}
    for cell in cells:
        with warnings.catch_warnings(action="ignore"):  # the run itself tells what it cannot use
            found = store.get(cell.key)
        if found is not None and found.status not in FINISHED:
            unfinished[cell.key] = found.digest
        info = infos[cell.dataset]
        fingerprint = found.dataset_fingerprint if found is not None and found.status in FINISHED else ""
        if fingerprint and fingerprint not in (info.fingerprint, info.layout):
            raise DataMismatchError(
                f"{store.root / cell.key} is of {info.name} with the fingerprint {fingerprint}, but its files now give "
                f"{info.fingerprint}; put the files back, or name another results folder"
            )
    return unfinished
