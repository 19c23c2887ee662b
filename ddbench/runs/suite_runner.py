"""Runs the cells of a suite one after the other and writes their results; the only writer of a results folder."""

from __future__ import annotations

import gc
import multiprocessing
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ddbench.distilled import load_distilled
from ddbench.engine.arithmetic import check_precision
from ddbench.errors import BadInputError, DataMismatchError, DDBenchError, check_not_told_to_end
from ddbench.host.files import digest_of
from ddbench.host.machine import resolve_device
from ddbench.host.meter import utc_now
from ddbench.inputs.paths import as_path
from ddbench.inputs.values import as_function
from ddbench.method import untracked
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS
from ddbench.records import DatasetInfo, DistilledDataset, RealDataset, Result
from ddbench.runs.cell import run_cell, unfinished_result
from ddbench.runs.distill import RunOptions, load_real, with_device
from ddbench.runs.results_store import Store, write_result
from ddbench.runs.suite import Cell, Suite, load_suite
from ddbench.runs.suite_sets import cells_of_sets
from ddbench.seeding import make_generator

FINISHED = ("ok", "skipped")


@dataclass(frozen=True)
class CellEvent:
    """A cell that is about to run (`result` None) or has ended; `was_there` marks one that an earlier run finished."""

    cell: Cell
    index: int
    total: int
    result: Result | None = None
    was_there: bool = False


def ignore_event(event: CellEvent) -> None:
    """Do nothing."""


def run_suite(
    suite: Suite | Path | str,
    results: Path | str,
    options: RunOptions | None = None,
    on_event: Callable[[CellEvent], None] = ignore_event,
) -> list[Result]:
    """Run every cell of a suite that has no finished result yet, and return the results of all its cells.

    Failed and out-of-memory cells of an earlier run are tried again, and those whose result is damaged or was altered,
    whose folder is set aside. A cell that fails is a Result with its reason, and the run goes on. On a GPU cells run in
    a process of their own, a new one after every failure.

    Raises:
        BadInputError: a suite, data set or folder that cannot be used; nothing has been run then.
        DataMismatchError: the folder holds results of a data set whose content is another now; nothing has been run.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(as_path(suite, "suite"))
    results = as_path(results, "results folder")
    options = with_device(options, None)
    as_function(on_event, "on_event")
    if suite.students_at_once is not None:
        options = replace(options, students_at_once=suite.students_at_once)
    device = resolve_device(options.device)
    cells = suite.cells()
    check_protocols(cells, options)
    infos = look_at_data(suite.datasets, options)
    store = Store(results)
    done: list[Result] = []
    with ExitStack() as stack:
        given = _open_sets(suite, infos, options, stack)
        cells = [*(of_data(cell, infos) for cell in cells), *(cell for cell, _ in given.values())]
        check_networks(cells, infos)
        check_sizes(cells, infos)
        store.prepare()
        check_recorded(cells, store, infos)
        run = stack.enter_context(CellProcess()).run if device.type == "cuda" else run_cell
        for index, cell in enumerate(cells):
            check_not_told_to_end()
            event = CellEvent(cell, index, len(cells))
            found = store.get(cell.key)
            if found is not None and found.status in FINISHED:
                on_event(replace(event, result=found, was_there=True))
                done.append(found)
                continue
            on_event(event)
            if found is None:
                store.set_aside(cell.key)
            reuse = given[cell.key][1] if cell.key in given else _find_reusable(cell, cells, store, options)
            with store.writing(cell.key) as folder:
                result = run(cell, options, folder, reuse)
                write_result(result, folder)
            store.forget_rescued(cell.key)
            on_event(replace(event, result=result))
            done.append(result)
    return done


def _open_sets(
    suite: Suite, infos: Mapping[str, DatasetInfo], options: RunOptions, stack: ExitStack
) -> dict[str, tuple[Cell, Path]]:
    """Return the cells of a suite's sets and their folders by key; imported ones lie where `stack` removes them."""
    if not suite.sets:
        return {}
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ddbench-sets-")))
    found = cells_of_sets(suite, infos, options, scratch)
    return {(known := of_data(cell, infos)).key: (known, folder) for cell, folder in found}


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
                f"{cell.method} is to make images of {made} px and students see {seen}: protocol {cell.protocol} "
                "resizes none; leave image_size out, or take imagenet-hard"
            )


def of_data(cell: Cell, infos: Mapping[str, DatasetInfo]) -> Cell:
    """Return a cell that says of which content its data set is, where the name does not."""
    return cell.model_copy(update={"dataset_fingerprint": infos[cell.dataset].cell_fingerprint})


def check_recorded(cells: Iterable[Cell], store: Store, infos: Mapping[str, DatasetInfo]) -> None:
    """Raise DataMismatchError where a finished result is of other data under the same name, which stands for one."""
    for cell in cells:
        with warnings.catch_warnings(action="ignore"):  # the run itself tells what it cannot use
            found = store.get(cell.key)
        info = infos[cell.dataset]
        fingerprint = found.dataset_fingerprint if found is not None and found.status in FINISHED else ""
        if fingerprint and fingerprint not in (info.fingerprint, info.layout):
            raise DataMismatchError(
                f"{store.root / cell.key} is of {info.name} with the fingerprint {fingerprint}, but its files now give "
                f"{info.fingerprint}; put the files back, or name another results folder"
            )


def _find_reusable(cell: Cell, cells: list[Cell], store: Store, options: RunOptions) -> Path | None:
    """Return a distilled set of an earlier run that is this cell's own; one that is not, or damaged, is a warning."""
    for folder in (_find_distilled(cell, cells, store), store.rescue(cell.key)):
        if folder is None:
            continue
        try:
            if is_set_of(cell, load_distilled(folder), load_real(cell.dataset, options)):
                return folder
            problem = f"{folder} is of other work"
        except DDBenchError as error:
            problem = str(error)
        warnings.warn(f"a distilled set is not used again, the cell distils its own: {problem}", stacklevel=3)
    return None


def is_set_of(cell: Cell, distilled: DistilledDataset, real: RealDataset) -> bool:
    """Return whether a distilled set was made by the method, settings, data and seed of a cell."""
    origin = distilled.provenance
    names = ("method", "distill_seed", "share_prepare")
    same = all(origin.get(name) == getattr(cell, name) for name in names) and distilled.ipc == cell.ipc
    data = (origin.get("dataset"), origin.get("dataset_fingerprint")) == (real.info.name, real.info.fingerprint)
    config = origin.get("config")
    return (
        same
        and data
        and isinstance(config, dict)
        and digest_of(config) == digest_of(cell.model_dump(mode="json")["config"])
    )


def _find_distilled(cell: Cell, cells: list[Cell], store: Store) -> Path | None:
    """Return the distilled set of a finished cell of this suite that differs from `cell` in evaluation only."""
    for other in cells:
        if other.distill_key == cell.distill_key and other.key != cell.key:
            result = store.get(other.key)
            folder = store.distilled_folder(result) if result and result.status == "ok" else None
            if folder is not None:
                return folder
    return None


class CellProcess:
    """A process that runs cells on a GPU one after the other: starting one for each would take longer than most cells.

    After a cell that failed comes a new process: an error on the device outlasts the cell that made it.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> CellProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, cell: Cell, options: RunOptions, folder: Path, reuse: Path | None) -> Result:
        """Run a cell, as `run_cell` does; a Result too where its process is killed."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
        # Progress bars belong to this process and cannot travel.
        plain = replace(options, track=untracked)
        try:
            result = self._pool.submit(_run_and_clean_up, cell, plain, folder, reuse).result()
        except BrokenProcessPool:
            reason = "the cell's process was killed from outside; if it ran out of memory, use a larger machine"
            result = unfinished_result(cell, plain, "failed", reason, utc_now())
        has_lost_a_graph = any("no CUDA graph" in str(value) for value in result.engine.values())
        if result.status not in FINISHED or has_lost_a_graph:
            self._end()
        return result

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None


def _run_and_clean_up(cell: Cell, options: RunOptions, folder: Path, reuse: Path | None) -> Result:
    """Run a cell in this process and leave no memory of it to the next one."""
    try:
        return run_cell(cell, options, folder, reuse)
    finally:
        gc.collect()
        with suppress(RuntimeError):  # of a device that a failed cell has left unusable: its Result counts
            torch.cuda.empty_cache()
