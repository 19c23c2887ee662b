"""One cell of the benchmark as a function of its description: distil, evaluate, measure."""

from __future__ import annotations

import hashlib
import json
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ddbench.dataset import load_dataset
from ddbench.distilled import load_distilled, save_distilled
from ddbench.errors import BadInputError, DataMismatchError, UnsupportedError
from ddbench.evaluator import DistillRun, Evaluator
from ddbench.files import find_cache_dir
from ddbench.machine import describe_machine, describe_versions, git_commit, resolve_device
from ddbench.meter import Meter, utc_now
from ddbench.method import Method, RunContext, Tracker, config_of, make_method, untracked
from ddbench.network import InputShape, make_network
from ddbench.preparing import prepare_once
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.records import DistilledDataset, Metric, Phase, Reading, RealDataset, Result, Status
from ddbench.registry import EVALUATORS
from ddbench.resuming import CHECKPOINT_SECONDS, ResumableWork
from ddbench.seeding import make_generator
from ddbench.store import DISTILLED_FOLDER, LOG_FILE
from ddbench.suite import DEFAULT_EVALUATORS, Cell
from ddbench.training import TrainingPlan, TrainingSet, chunk_size, measure_accuracy, train_student


@dataclass(frozen=True)
class RunOptions:
    """Where and how to run, none of which may change a number: data folder, device, log file, progress, checkpoints."""

    data_dir: Path | str | None = None
    device: torch.device | str | None = None
    log_path: Path | None = None
    track: Tracker = untracked
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def log(self, name: str, value: object) -> None:
        """Append a named value to the log file, where there is one."""
        if self.log_path is not None:
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(f"{name} = {value}\n")

    def context(self, generator: torch.Generator, cache_dir: Path) -> RunContext:
        """Return the context that a method or evaluator works in."""
        return RunContext(resolve_device(self.device), generator, cache_dir, log=self.log, track=self.track)


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

    Returns:
        The set; its provenance holds method, config, data set, seed, versions and the phases with their cost.

    Raises:
        UnsupportedError: the method cannot do this data set or IPC; the message is its reason.
        DataMismatchError: the method returned a set that does not fit the data set.
    """
    options = _with_device(options, device)
    with Meter(resolve_device(options.device)) as first_use:
        built = make_method(method, dict(config or {}))
        real = load_real(dataset, options)
        _warm_up_device(real, resolve_device(options.device))
    check_supported(method, built, real, ipc)
    with tempfile.TemporaryDirectory(prefix="ddbench-") as scratch:
        ctx = options.context(make_generator(seed, "distill", real.info.name), Path(scratch))
        prepare_seed = 0 if share_prepare else seed
        prepared, prepare_phase = prepare_once(
            method, built, real.train, prepare_seed, ctx, checkpoint_seconds=options.checkpoint_seconds
        )
        ctx = replace(ctx, prepared=prepared)
        identity = _identify(method, built, real, ipc, seed, ctx, share_prepare=share_prepare)
        distilled, reading = _distill_resumably(built, real, ipc, ctx, identity, options)
    check_fits(distilled, real)
    phases = [
        Phase(name="first_use", reading=first_use.reading),
        *([prepare_phase] if prepare_phase else []),
        Phase(name="distill", reading=reading),
    ]
    return distilled.with_provenance(
        method=method,
        config=config_of(built),
        dataset=real.info.name,
        dataset_fingerprint=real.info.fingerprint,
        class_names=list(real.info.class_names),
        distill_seed=seed,
        share_prepare=share_prepare,
        phases=[phase.model_dump(mode="json") for phase in phases],
        machine=describe_machine(ctx.device),
        versions=describe_versions(),
        git_commit=git_commit(),
    )


def evaluate(
    distilled: DistilledDataset,
    dataset: RealDataset | str,
    protocol: str | Protocol = "dsa",
    network: str | None = None,
    students: int = 5,
    seed: int = 0,
    device: torch.device | str | None = None,
    *,
    evaluators: tuple[str, ...] = DEFAULT_EVALUATORS,
    cross_networks: tuple[str, ...] = (),
    options: RunOptions | None = None,
) -> Result:
    """Train students on a distilled set, test them, and return what came out with what it cost.

    Args:
        distilled: the set.
        dataset: the real data set it stands for, or its name.
        protocol: how students are trained.
        network: student network; the protocol's where None.
        students: how many are trained, at least 1.
        seed: of the students.
        device: where to compute; the GPU where there is one.
        evaluators: registered names of what to measure.
        cross_networks: networks for `cross_architecture`.
        options: data folder, log and progress.

    Raises:
        BadInputError: fewer than one student.
        DataMismatchError: the set does not fit the data set.
    """
    if students < 1:
        raise BadInputError(f"students must be at least 1, got {students}")
    options = _with_device(options, device)
    chosen = PROTOCOLS.get(protocol) if isinstance(protocol, str) else protocol
    origin = distilled.provenance
    run = DistillRun(
        distilled=distilled,
        protocol=chosen,
        network=network or chosen.network,
        students=students,
        eval_seed=seed,
        distill_seed=origin.get("distill_seed"),
        networks=cross_networks,
        phases=tuple(Phase.model_validate(phase) for phase in origin.get("phases", ())),
    )
    started_at = utc_now()
    built = [EVALUATORS.get(name)() for name in evaluators]
    with Meter(resolve_device(options.device)) as first_use:
        real = load_real(dataset, options)
        check_fits(distilled, real)
        _warm_up_students(run, real, resolve_device(options.device))
    run, metrics = _measure(run, real, built, first_use.reading, options)
    return _result_of(run, real, metrics, evaluators, options).model_copy(update={"started_at": started_at})


def run_cell(cell: Cell, options: RunOptions, folder: Path, reuse: Path | None = None) -> Result:
    """Run one cell and return its Result, whatever happens in it short of an interrupt.

    Args:
        cell: what to run.
        options: data folder, device, progress.
        folder: where the distilled set and the log go.
        reuse: folder of the same distilled set from another cell, to evaluate instead of distilling again.
    """
    options = replace(options, log_path=folder / LOG_FILE)
    started_at = utc_now()
    try:
        distilled = load_distilled(reuse) if reuse else _distill_cell(cell, options)
        if distilled.ipc is not None:  # the whole real set is the data set itself and need not be kept again
            save_distilled(distilled, folder / DISTILLED_FOLDER)
        result = evaluate(
            distilled,
            cell.dataset,
            cell.protocol,
            cell.network,
            cell.students,
            cell.eval_seed,
            evaluators=cell.evaluators,
            cross_networks=cell.cross_networks,
            options=options,
        )
        return result.model_copy(update={"key": cell.key, "started_at": started_at})
    except UnsupportedError as error:
        return unfinished_result(cell, options, "skipped", str(error), started_at)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return unfinished_result(cell, options, "out_of_memory", _one_line(error), started_at)
    except Exception as error:
        options.log("traceback", traceback.format_exc())
        return unfinished_result(cell, options, "failed", f"{type(error).__name__}: {_one_line(error)}", started_at)


def check_supported(name: str, method: Method, real: RealDataset, ipc: int) -> None:
    """Raise UnsupportedError with the reason where a method cannot do a data set or IPC."""
    if method.uses_ipc and ipc < 1:
        raise UnsupportedError(f"{name} on {real.info.name}: ipc must be at least 1, got {ipc}")
    reason = method.unsupported(real.train, ipc)
    if reason:
        raise UnsupportedError(f"{name} on {real.info.name}: {reason}")


def check_fits(distilled: DistilledDataset, real: RealDataset) -> None:
    """Raise DataMismatchError where a distilled set is not one of this data set."""
    info = real.info
    if distilled.num_classes != info.num_classes:
        raise DataMismatchError(
            f"the distilled set has {distilled.num_classes} classes and {info.name} has {info.num_classes}; "
            "name the data set it was made from"
        )
    if distilled.images.shape[1:] != real.train.images.shape[1:]:
        raise DataMismatchError(
            f"the distilled images are {tuple(distilled.images.shape[1:])} and those of {info.name} "
            f"{tuple(real.train.images.shape[1:])}; name the data set they were made from"
        )
    names = distilled.provenance.get("class_names")
    if names is not None and tuple(names) != info.class_names:
        raise DataMismatchError(
            f"the distilled set's classes are {', '.join(names[:3])}, ... and those of {info.name} "
            f"{', '.join(info.class_names[:3])}, ...; name the data set it was made from"
        )


def _identify(
    name: str, method: Method, real: RealDataset, ipc: int, seed: int, ctx: RunContext, *, share_prepare: bool
) -> str:
    """Return a hash of all that the course of a distillation depends on: only the same work may be taken up again."""
    content = {
        "method": name,
        "config": config_of(method),
        "dataset": [real.info.name, real.info.fingerprint],
        "ipc": ipc,
        "seed": seed,
        "share_prepare": share_prepare,
        "machine": describe_machine(ctx.device)["id"],
        "versions": describe_versions(),
        "git_commit": git_commit(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _distill_resumably(
    method: Method, real: RealDataset, ipc: int, ctx: RunContext, identity: str, options: RunOptions
) -> tuple[DistilledDataset, Reading]:
    """Run `distill`, taken up where a killed run of the same work left it; returns what all attempts took."""
    with Meter(ctx.device) as meter:
        work = ResumableWork(find_cache_dir() / "unfinished" / identity, meter, ctx.track, options.checkpoint_seconds)
        with work:
            distilled = method.distill(real.train, ipc, replace(ctx, track=work.track))
    return distilled, work.total()


def _distill_cell(cell: Cell, options: RunOptions) -> DistilledDataset:
    return distill(
        cell.method,
        cell.dataset,
        cell.ipc or 1,
        cell.distill_seed,
        cell.config,
        share_prepare=cell.share_prepare,
        options=options,
    )


def _measure(
    run: DistillRun, real: RealDataset, evaluators: list[Evaluator], first_use: Reading, options: RunOptions
) -> tuple[DistillRun, tuple[Metric, ...]]:
    """Return the run with all phases, and the metrics of all evaluators, those that read phases last."""
    metrics: list[Metric] = []
    with tempfile.TemporaryDirectory(prefix="ddbench-") as scratch:
        ctx = options.context(make_generator(run.eval_seed, "evaluate", real.info.name), Path(scratch))
        with Meter(ctx.device) as meter:
            for evaluator in evaluators:
                if not evaluator.reads_phases:
                    metrics += evaluator.evaluate(run, real, ctx)
        run = replace(run, phases=_add_phases(run.phases, first_use, meter.reading))
        for evaluator in evaluators:
            if evaluator.reads_phases:
                metrics += evaluator.evaluate(run, real, ctx)
    return run, tuple(metrics)


def _add_phases(phases: tuple[Phase, ...], first_use: Reading, evaluate: Reading) -> tuple[Phase, ...]:
    """Add evaluation's readings; first use before distilling and before evaluating become one account."""
    earlier = next((phase.reading for phase in phases if phase.name == "first_use"), None)
    if earlier is not None:
        first_use = earlier.plus(first_use)
    others = [phase for phase in phases if phase.name in ("prepare", "distill")]
    return (
        Phase(name="first_use", reading=first_use),
        *others,
        Phase(name="evaluate", reading=evaluate),
    )


def _result_of(
    run: DistillRun, real: RealDataset, metrics: tuple[Metric, ...], evaluators: tuple[str, ...], options: RunOptions
) -> Result:
    distilled, origin = run.distilled, run.distilled.provenance
    device = resolve_device(options.device)
    config = origin.get("config")
    if config is None:  # a set from elsewhere is told apart by its content
        config = {"images_sha256": hashlib.sha256(distilled.images.cpu().numpy().tobytes()).hexdigest()}
    identity: dict[str, Any] = {
        "method": origin.get("method", "external"),
        "config": config,
        "dataset": real.info.name,
        "ipc": distilled.ipc,
        "network": run.network,
        "protocol": run.protocol.name,
        "protocol_hash": run.protocol.hash,
        "distill_seed": origin.get("distill_seed", 0),
        "eval_seed": run.eval_seed,
        "students": run.students,
        "share_prepare": origin.get("share_prepare", False),
    }
    return Result(
        key=Cell(**identity, evaluators=evaluators, cross_networks=run.networks).key,
        **identity,
        dataset_fingerprint=real.info.fingerprint,
        status="ok",
        metrics=metrics,
        phases=run.phases,
        distilled_bytes=distilled.num_bytes,
        space=distilled.space,
        label_mode=distilled.label_mode,
        student_lr=distilled.student_lr,
        engine={"students": "eager", "test_chunk": chunk_size(device), **origin.get("engine", {})},
        machine=describe_machine(device),
        versions=describe_versions(),
        git_commit=git_commit(),
    )


def unfinished_result(cell: Cell, options: RunOptions, status: Status, reason: str, started_at: str) -> Result:
    """Return the Result of a cell that has no numbers, with the reason."""
    fields = cell.model_dump(exclude={"evaluators", "cross_networks"})
    return Result(
        key=cell.key,
        **fields,
        status=status,
        reason=reason,
        machine=describe_machine(resolve_device(options.device)),
        versions=describe_versions(),
        git_commit=git_commit(),
        started_at=started_at,
    )


def _warm_up_students(run: DistillRun, real: RealDataset, device: torch.device) -> None:
    """One training step and one forward pass of the student, so that first-use costs stay out of the phases."""
    first = torch.arange(min(len(run.distilled.images), run.protocol.batch_size))
    data = TrainingSet.of(run.distilled, real.info, device)
    generator = make_generator(0, "warm up")
    network = make_network(run.network, InputShape.of(real.info), generator).to(device)
    plan = replace(TrainingPlan.of(run.protocol, real.info), schedule=Schedule(epochs=1, drop_at=1), lr=0.0)
    train_student(network, replace(data, images=data.images[first], labels=data.labels[first]), plan, generator)
    few = torch.arange(min(len(real.test), chunk_size(device)))
    test = replace(real.test, images=real.test.pixels(few), labels=real.test.labels[few])
    measure_accuracy(network, test, device, run.distilled.whitening)


def _warm_up_device(real: RealDataset, device: torch.device) -> None:
    """One small forward and backward pass, which starts the device's libraries and threads."""
    images = real.train.normalised(torch.arange(min(8, len(real.train))), device).requires_grad_()
    torch.nn.functional.conv2d(images, torch.ones(4, images.shape[1], 3, 3, device=device)).sum().backward()


def load_real(dataset: RealDataset | str, options: RunOptions) -> RealDataset:
    """Return a data set given as such or by name; the last two loaded by name are kept in memory."""
    return dataset if isinstance(dataset, RealDataset) else _load_named(dataset, options.data_dir)


@lru_cache(maxsize=2)
def _load_named(spec: str, data_dir: Path | str | None) -> RealDataset:
    return load_dataset(spec, data_dir)


def _with_device(options: RunOptions | None, device: torch.device | str | None) -> RunOptions:
    options = options or RunOptions()
    return options if device is None else replace(options, device=device)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
