"""Runs the cells of a suite and writes their results; several runs may share a results folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddbench.errors import BadInputError
from ddbench.host.clock import utc_now
from ddbench.host.leftovers import this_place
from ddbench.host.machine import resolve_device
from ddbench.host.threads import processors_at_hand
from ddbench.images import DatasetInfo
from ddbench.inputs.misplaced import refuse_misplaced
from ddbench.inputs.paths import as_path
from ddbench.inputs.values import as_function, shown
from ddbench.records import Result
from ddbench.runner import Runner, RunnerOptions, make_runner
from ddbench.runs.dispatch import CellEvent, Dispatch
from ddbench.runs.distill import MISPLACED_OPTIONS, RunOptions, with_device
from ddbench.runs.places import Places
from ddbench.runs.progress import events_with_bar, shows_bars, tracker_of
from ddbench.runs.results_store import LOGS_FOLDER, Store
from ddbench.runs.running import RunFile, RunningRun
from ddbench.runs.suite import Cell, Suite, load_suite
from ddbench.runs.suite_checks import (
    check_networks,
    check_protocols,
    check_recorded,
    check_sizes,
    look_at_data,
    of_data,
)
from ddbench.runs.suite_files import find_suite
from ddbench.runs.suite_sets import cells_of_sets
from ddbench.runs.turns import LOCKS_FOLDER, Turns

if TYPE_CHECKING:
    import torch


def ignore_event(event: CellEvent) -> None:
    """Do nothing."""


def run_suite(
    suite: Suite | Path | str,
    results: Path | str,
    options: RunOptions | None = None,
    on_event: Callable[[CellEvent], None] = ignore_event,
    *,
    device: torch.device | str | None = None,
    runner: Runner | None = None,
    progress: bool | None = None,
    **misplaced: object,
) -> list[Result]:
    """Run every cell of a suite that has no finished result yet, and return the results of all its cells.

    Failed and out-of-memory cells of an earlier run are tried again, and those whose result is damaged or was altered,
    whose folder is set aside. Several runs at once, on one machine or on several that share the folder, share the cells
    (`ddbench.runs.turns`) and each machine's processors (`ddbench.runs.places`). A cell that fails is a Result with its
    reason, and the run goes on.

    Args:
        suite: a suite, its file, or the name of one that ddbench ships.
        results: folder of results.
        options: data folder, device, progress.
        on_event: is told of every cell that begins and ends.
        device: where to compute; the GPU where there is one.
        progress: True for bars, False for silence, None for bars in a notebook.
        runner: where cells run, see `ddbench.runner`; this machine, one cell at a time, where None.
        misplaced: nothing; a keyword that belongs elsewhere is told where.

    Raises:
        BadInputError: a suite, data set or folder that cannot be used; nothing has been run then.
        DataMismatchError: the folder holds results of a data set whose content is another now; nothing has been run.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(find_suite(str(as_path(suite, "suite"))))
    results = as_path(results, "results folder")
    if misplaced:
        of_suite = {"part of the suite": (tuple(Suite.model_fields), "suite.model_copy(update={'NAME': VALUE})")}
        refuse_misplaced("run_suite", misplaced, {**of_suite, **MISPLACED_OPTIONS})
    options = with_device(options, device)
    as_function(on_event, "on_event")
    on_event = events_with_bar(on_event, progress)
    if shows_bars(progress):
        options = replace(options, track=tracker_of(options.track, progress))
    if suite.students_at_once is not None:
        options = replace(options, students_at_once=suite.students_at_once)
    if options.log_dir is None:
        options = replace(options, log_dir=results / LOGS_FOLDER)
    device = resolve_device(options.device)
    chosen = runner or make_runner("local", RunnerOptions(device))
    if not isinstance(chosen, Runner):
        raise BadInputError(f"runner must be a Runner, got {shown(chosen)}; make one with make_runner")
    chosen.check()
    if not chosen.here:  # the working folder is this process's
        folders = {name: getattr(options, name) for name in ("data_dir", "log_dir")}
        options = replace(options, **{name: path.absolute() for name, path in folders.items() if path is not None})
    cells = suite.cells()
    check_protocols(cells, options)
    infos = look_at_data(suite.datasets, options)
    store = Store(results)
    with ExitStack() as stack:
        sets = _open_sets(suite, infos, options, stack)
        cells = [*(of_data(cell, infos) for cell in cells), *(cell for cell, _ in sets.values())]
        check_networks(cells, infos)
        check_sizes(cells, infos)
        store.prepare()
        earlier = check_recorded(cells, store, infos)
        given = {key: folder for key, (_, folder) in sets.items()}
        turns = stack.enter_context(Turns(store, earlier))
        places = stack.enter_context(Places(results / LOCKS_FOLDER, processors_at_hand()))
        run = RunningRun(place=this_place(), process=os.getpid(), since=utc_now(), suite=suite.name, total=len(cells))
        file = stack.enter_context(RunFile(results, run))
        dispatch = Dispatch(cells, infos, given, store, turns, places, chosen, options, file, earlier, on_event)
        with dispatch, chosen:
            return dispatch.run()


def _open_sets(
    suite: Suite, infos: Mapping[str, DatasetInfo], options: RunOptions, stack: ExitStack
) -> dict[str, tuple[Cell, Path]]:
    """Return the cells of a suite's sets and their folders by key; imported ones lie where `stack` removes them."""
    if not suite.sets:
        return {}
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ddbench-sets-")))
    found = cells_of_sets(suite, infos, options, scratch)
    return {(known := of_data(cell, infos)).key: (known, folder) for cell, folder in found}
