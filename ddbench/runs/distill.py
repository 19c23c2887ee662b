"""One distillation: a method run on the training split alone, resumable, its cost kept in the set's provenance."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ddbench.augment.dsa import dsa_augment
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.dataset import check_held, find_data_dir, load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.chunks import shrunk_chunks
from ddbench.engine.native import native_passes
from ddbench.errors import BadInputError, DivergedError, UnsupportedError
from ddbench.host.checkpoint import CHECKPOINT_SECONDS, Checkpoints
from ddbench.host.file_digests import FileNotes, noting_files
from ddbench.host.files import digest_of, find_cache_dir
from ddbench.host.machine import describe_machine, describe_versions, git_commit, resolve_device
from ddbench.host.meter import Meter
from ddbench.host.threads import given_threads
from ddbench.images import DatasetInfo, RealDataset
from ddbench.inputs.misplaced import Homes, refuse_misplaced
from ddbench.inputs.paths import as_path
from ddbench.inputs.values import (
    as_count,
    as_flag,
    as_function,
    as_kind,
    as_number,
    as_seed,
    as_text,
    as_texts,
    shown,
)
from ddbench.logger import check_loggers
from ddbench.method import Foundation, Method, RunContext, Tracker, config_of, make_method, unlogged, untracked
from ddbench.network import InputShape, make_network
from ddbench.records import Phase, Reading
from ddbench.runs.known_settings import default_settings
from ddbench.runs.logged_values import describe_distillation, is_images, outcome_of_set
from ddbench.runs.phase_threads import threads_of_method
from ddbench.runs.preparation import make_foundations, prepare_once
from ddbench.runs.presets import preset_names
from ddbench.runs.progress import tracker_of
from ddbench.runs.run_log import RunLog, with_loggers
from ddbench.runs.set_checks import check_fits, check_values
from ddbench.seeding import make_generator


@dataclass(frozen=True)
class RunOptions:
    """Where and how to run, none of which may change a number: data folder, device, log file, progress, checkpoints.

    Attributes:
        data_dir: folder of data sets.
        device: where to compute.
        log_path: file that what is logged is appended to.
        track: shows progress.
        checkpoint_seconds: between two states that are kept.
        students_at_once: how many students one call trains, by the device's memory where None.
        devices: how many GPUs the students of a set are spread over; on a CPU, processes.
        on_log: is told what the work logs, beside the log file, images left out.
        loggers: registered names of trackers that what is logged goes to (`ddbench list loggers`).
        log_every: of what is logged under one name loggers get every so manieth value.
        log_dir: where loggers write, each in a folder of its name; `logs`, in a suite's results folder, where None.
        run_log: the loggers that are open, in a run that has opened them.

    Raises:
        BadInputError: a value of another kind, or a logger whose tracker is not installed.
        UnknownNameError: no such logger.
    """

    data_dir: Path | str | None = None
    device: torch.device | str | None = None
    log_path: Path | None = None
    track: Tracker = untracked
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    students_at_once: int | None = None
    devices: int = 1
    on_log: Callable[[str, object], None] = unlogged
    loggers: tuple[str, ...] = ()
    log_every: int = 1
    log_dir: Path | None = None
    run_log: RunLog | None = None

    def __post_init__(self) -> None:
        for name in ("data_dir", "log_path", "log_dir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_path(getattr(self, name), name))
        as_function(self.track, "track")
        as_function(self.on_log, "on_log")
        as_number(self.checkpoint_seconds, "checkpoint_seconds", 0)
        if self.students_at_once is not None:
            object.__setattr__(self, "students_at_once", as_count(self.students_at_once, "students_at_once"))
        object.__setattr__(self, "loggers", as_texts(self.loggers, "loggers", distinct=True))
        object.__setattr__(self, "devices", as_count(self.devices, "devices"))
        object.__setattr__(self, "log_every", as_count(self.log_every, "log_every"))
        check_loggers(self.loggers)

    def log(self, name: str, value: object, info: DatasetInfo | None = None) -> None:
        """Append a named value to the log file, where there is one, and give it to the loggers that are open.

        Images (see `RunContext.log`) are for loggers alone; `info` says how float ones are normalised.
        """
        if self.run_log is not None:
            self.run_log.log(name, value, info)
        if is_images(value):
            return
        self.on_log(name, value)
        if self.log_path is not None:
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(f"{name} = {value}\n")

    def context(self, generator: torch.Generator, cache_dir: Path, info: DatasetInfo) -> RunContext:
        """Return the context that a method or evaluator works in, on a data set."""
        return RunContext(
            resolve_device(self.device),
            generator,
            cache_dir,
            log=partial(self.log, info=info),
            track=self.track,
            shows_images=self.run_log is not None,
        )


def distill(
    method: str,
    dataset: RealDataset | str,
    ipc: int,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
    *,
    share_prepare: bool = False,
    options: RunOptions | None = None,
    progress: bool | None = None,
    **misplaced: object,
) -> DistilledDataset:
    """Distil the training split of a data set.

    Args:
        method: registered name.
        dataset: a data set, or the name of one.
        ipc: images per class; of no meaning to a method that keeps the whole set.
        seed: of every draw the method makes, its preparation included.
        config: settings of the method that differ from its defaults.
        device: where to compute; the GPU where there is one.
        share_prepare: prepare with seed 0 whatever `seed` is.
        options: data folder, log and progress.
        progress: True for bars, False for silence; None for bars in a notebook, elsewhere one line where a loop will
            take over five minutes.
        misplaced: nothing; a keyword that belongs elsewhere is told where.

    Returns:
        The set; its provenance holds method, config, data set, seed, versions and the phases with their cost.

    Raises:
        UnknownNameError: no such method or data set.
        BadInputError: an argument of the wrong kind or out of range, told before anything is loaded or made.
        UnsupportedError: the method cannot do this data set or IPC; the message is its reason.
        DataMismatchError: the method returned a set that does not fit the data set.
    """
    if misplaced:
        settings = default_settings(method) or {} if isinstance(method, str) else {}
        homes: Homes = {f"a setting of {method}": (tuple(settings), "config={'NAME': VALUE}"), **MISPLACED_OPTIONS}
        refuse_misplaced("distill", misplaced, homes)
    options = with_device(options, device)
    options = replace(options, track=tracker_of(options.track, progress, _presets_of(method, dataset)))
    check_dataset(dataset)
    ipc, seed = as_count(ipc, "ipc"), as_seed(seed)
    as_flag(share_prepare, "share_prepare")
    with arithmetic_of("fp32", resolve_device(options.device)):  # a method says itself where it works in less
        return with_loggers(
            options,
            partial(describe_distillation, method, dataset, ipc, seed, config, share_prepare),
            lambda options: _distill(method, dataset, ipc, seed, config, share_prepare, options),
            outcome_of_set,
        )


def _distill(
    method: str,
    dataset: RealDataset | str,
    ipc: int,
    seed: int,
    config: Mapping[str, Any] | None,
    share_prepare: bool,
    options: RunOptions,
) -> DistilledDataset:
    with Meter(resolve_device(options.device)) as first_use:
        built = make_method(method, config)
        real = load_real(dataset, options)
        _warm_up_device(real, resolve_device(options.device))
    check_supported(method, built, real, ipc)
    with tempfile.TemporaryDirectory(prefix="ddbench-") as scratch:
        ctx = options.context(make_generator(seed, "distill", real.info.name), Path(scratch), real.info)
        pace = options.checkpoint_seconds
        to_prepare, to_distill = threads_of_method(built, real, ipc, ctx.device)
        with given_threads(to_prepare):
            folders, founding = make_foundations(built, real.train, ctx, checkpoint_seconds=pace)
            ctx = replace(ctx, foundation=next(iter(folders), None), foundations=folders)
            own_seed = 0 if share_prepare else seed
            prepared, prepare_phase = prepare_once(method, built, real.train, own_seed, ctx, checkpoint_seconds=pace)
        ctx = replace(ctx, prepared=prepared)
        origin = {
            "method": method,
            "config": config_of(built),
            "distill_seed": seed,
            "share_prepare": share_prepare,
            **({"foundation": _names_of(built.foundations())} if any(folders) else {}),
            **_describe_circumstances(real, ctx),
        }
        with given_threads(to_distill):
            distilled, reading = _distill_resumably(built, real, ipc, ctx, origin, pace)
        distilled = distilled.with_provenance(
            engine={**distilled.provenance.get("engine", {}), "distill_threads": to_distill}
        )
    check_fits(distilled, real, getattr(built.config, "image_size", None) or real.info.image_size)
    check_values(distilled, real)
    if options.run_log is not None:
        options.run_log.log_set(distilled, real.info)
        distilled = distilled.with_provenance(
            engine={**distilled.provenance.get("engine", {}), **options.run_log.noted}
        )
    phases = [
        Phase(name="first_use", reading=first_use.reading),
        *filter(None, [Phase.joined((founding, prepare_phase))]),
        Phase(name="distill", reading=reading),
    ]
    return distilled.with_provenance(**origin, phases=[phase.model_dump(mode="json") for phase in phases])


def _names_of(foundations: Sequence[Foundation]) -> str:
    """Return what a set stands on, in words: `teacher`, or of several `set of 4 teachers`."""
    names = dict.fromkeys(foundation.name for foundation in foundations)
    several = f"set of {len(foundations)} {' and '.join(f'{name}s' for name in names)}"
    return next(iter(names)) if len(foundations) == 1 else several


def check_supported(name: str, method: Method, real: RealDataset, ipc: int) -> None:
    """Raise UnsupportedError with the reason where a method cannot do a data set or IPC."""
    reason = method.unsupported(real.train, ipc)
    if reason:
        raise UnsupportedError(f"{name} on {real.info.name}: {reason}")


def _describe_circumstances(real: RealDataset, ctx: RunContext) -> dict[str, Any]:
    return {
        "dataset": real.info.name,
        "dataset_fingerprint": real.info.fingerprint,
        "class_names": list(real.info.class_names),
        "mean": list(real.info.mean),
        "std": list(real.info.std),
        "machine": describe_machine(ctx.device),
        "versions": describe_versions(),
        "git_commit": git_commit(),
    }


def _distill_resumably(
    method: Method, real: RealDataset, ipc: int, ctx: RunContext, origin: dict[str, Any], checkpoint_seconds: float
) -> tuple[DistilledDataset, Reading]:
    """Run `distill`, resumed where a killed run of the same set stopped; also returns what all attempts took."""
    # Only the same may be resumed: the same code on the same machine, too.
    folder = find_cache_dir() / "unfinished" / digest_of({**origin, "ipc": ipc})
    with Meter(ctx.device) as meter:
        checkpoints = Checkpoints(folder, meter, ctx.track, checkpoint_seconds)
        with checkpoints, _kept_when_diverged(origin), shrunk_chunks(ctx.log) as shrunk:
            distilled = method.distill(real.train, ipc, replace(ctx, track=checkpoints.track))
    if shrunk:
        distilled = distilled.with_provenance(engine={**distilled.provenance.get("engine", {}), **shrunk})
    return distilled, checkpoints.total()


@contextmanager
def _kept_when_diverged(origin: dict[str, Any]) -> Iterator[None]:
    """Give the last good set of a distillation that diverges its provenance."""
    try:
        yield
    except DivergedError as error:
        error.last_good = error.last_good.with_provenance(**origin, diverged=str(error))
        raise


def _warm_up_device(real: RealDataset, device: torch.device) -> None:
    """One small forward and backward pass and an update, which start the device's libraries and threads.

    The first optimiser of a process loads torch's compiler, 5 s of processor time: ten times what DM takes on digits.
    Native code is compiled, 2 s in an empty cache.
    """
    if device.type == "cpu":
        native_passes()
    images = real.train.normalised(torch.arange(min(8, len(real.train))), device).requires_grad_()
    torch.nn.functional.conv2d(images, torch.ones(4, images.shape[1], 3, 3, device=device)).sum().backward()
    torch.optim.SGD([images], lr=0.0).step()
    if device.type == "cuda":  # which loads every kernel when it is first called
        network = make_network("convnet-d1-w8", InputShape.of(real.info), make_generator(0, "warm up")).to(device)
        for strategy in DSA_STRATEGY.split("_"):
            augmented = dsa_augment(images, make_generator(0, "warm up"), strategy)
            labels = torch.zeros(len(images), dtype=torch.int64, device=device)
            torch.nn.functional.cross_entropy(network(augmented), labels).backward()


def check_dataset(dataset: object) -> None:
    """Raise BadInputError where a value is neither a data set nor the name of one, without loading it."""
    if not isinstance(dataset, RealDataset):
        if not isinstance(dataset, str):
            raise BadInputError(
                f"dataset must be a RealDataset or the name of one, got {shown(dataset)}; load_dataset loads one, a "
                "folder of images as 'image_folder:PATH,size=64', and make_real_dataset makes one of tensors"
            )
        as_text(dataset, "dataset")


def load_real(dataset: RealDataset | str, options: RunOptions) -> RealDataset:
    """Return a data set given as such or by name.

    The last two loaded by name are kept in memory, for as long as the files they were read from look as they did.

    Raises:
        BadInputError: one given as such that holds something else than its fingerprint says.
    """
    if not isinstance(dataset, RealDataset):
        return _load_named(dataset, options.data_dir)
    check_held(dataset)
    return dataset


_loaded: dict[tuple[str, str], tuple[RealDataset, FileNotes]] = {}
_MOST_LOADED = 2


def _load_named(spec: str, data_dir: Path | str | None) -> RealDataset:
    key = (spec, str(find_data_dir(data_dir).absolute()))
    kept = _loaded.pop(key, None)
    if kept is None or not kept[1].still_hold():
        with noting_files() as notes:
            kept = load_dataset(spec, data_dir), notes
    while len(_loaded) >= _MOST_LOADED:
        _loaded.pop(next(iter(_loaded)))
    _loaded[key] = kept
    return kept[0]


# What keywords of RunOptions are, and how they are passed, where a call is given them.
MISPLACED_OPTIONS: Homes = {
    "an option of runs": (tuple(RunOptions.__dataclass_fields__), "options=RunOptions(NAME=VALUE)")
}


def _presets_of(method: str, dataset: RealDataset | str) -> str:
    """Return what to say of other settings, where there are presets for them."""
    data = dataset.info.name if isinstance(dataset, RealDataset) else dataset
    names = [name for name in preset_names() if name.startswith(f"{method}_{data}_")]
    return f"; other settings: the presets {', '.join(names)}" if names else "; config= takes fewer"


def with_device(options: RunOptions | None, device: torch.device | str | None) -> RunOptions:
    """Return the options, or the default ones, on `device` where one is given; raises BadInputError for no options."""
    options = (
        RunOptions() if options is None else as_kind(options, RunOptions, "options", "make them with RunOptions()")
    )
    return options if device is None else replace(options, device=device)
