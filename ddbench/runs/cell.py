"""One cell of the benchmark as a function of its description: distil, evaluate, measure."""

from __future__ import annotations

import tempfile
import traceback
import warnings
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ddbench.augment.imagenet import changes_colours
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import content_digest, load_distilled, save_distilled
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.chunks import explain_out_of_memory, is_out_of_memory, shrunk_chunks
from ddbench.errors import (
    BadInputError,
    DataMismatchError,
    DDBenchError,
    DivergedError,
    UnsupportedError,
    check_not_told_to_end,
    tidy,
)
from ddbench.evaluator import DistillRun, Evaluator, make_evaluator
from ddbench.host.clock import utc_now
from ddbench.host.machine import describe_machine, describe_versions, git_commit, resolve_device
from ddbench.host.meter import Meter
from ddbench.host.threads import given_threads, threads_at_hand
from ddbench.images import RealDataset
from ddbench.inputs.fingerprints import is_of_content
from ddbench.inputs.misplaced import Homes, refuse_misplaced
from ddbench.inputs.network_names import split_spec
from ddbench.inputs.values import MOST_STUDENTS, as_count, as_kind, as_seed, as_text, as_texts
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS, Protocol
from ddbench.records import SET_DIGEST, Metric, Phase, Reading, Result, Status
from ddbench.runs.distill import MISPLACED_OPTIONS, RunOptions, check_dataset, distill, load_real, with_device
from ddbench.runs.logged_values import describe_cell, describe_evaluation, outcome_of_result
from ddbench.runs.phase_threads import threads_of_students, threads_of_teachers
from ddbench.runs.progress import tracker_of
from ddbench.runs.results_store import DISTILLED_FOLDER, LAST_GOOD_FOLDER, LOG_FILE
from ddbench.runs.run_log import with_loggers
from ddbench.runs.set_checks import check_fits, check_values
from ddbench.runs.suite import DEFAULT_EVALUATORS, Cell
from ddbench.seeding import make_generator
from ddbench.students.loop import chunk_size
from ddbench.students.resizing import at_size_of
from ddbench.students.teacher import find_teacher


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
    progress: bool | None = None,
    **misplaced: object,
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
        evaluators: registered names of what to measure, with an option behind a colon where one takes it.
        cross_networks: networks for `cross_architecture`.
        options: data folder, log and progress.
        progress: as for `distill`.
        misplaced: nothing; a keyword that belongs elsewhere is told where.

    Raises:
        UnknownNameError: no such protocol, network, evaluator or data set.
        BadInputError: an argument of the wrong kind or out of range, or a protocol that the set or its teacher's file
            does not go with. All is told before the first training, and most before the data set is loaded.
        DataMismatchError: the set does not fit the data set.
    """
    hint = "DistilledDataset.load(FOLDER) reads one, DistilledDataset(images=..., labels=..., ...) makes one"
    as_kind(distilled, DistilledDataset, "distilled", hint)
    if diverged := distilled.provenance.get("diverged"):
        raise BadInputError(f"this set is from a distillation that diverged ({diverged}); distil again")
    if misplaced:
        way = "protocol=PROTOCOLS.get('dsa').model_copy(update={'name': 'mine', 'NAME': VALUE})"
        homes: Homes = {"part of the protocol": (tuple(Protocol.model_fields), way), **MISPLACED_OPTIONS}
        refuse_misplaced("evaluate", misplaced, homes)
    options = with_device(options, device)
    options = replace(options, track=tracker_of(options.track, progress))
    check_dataset(dataset)
    students, seed = as_count(students, "students", most=MOST_STUDENTS), as_seed(seed)
    evaluators = as_texts(evaluators, "evaluators", least=1, distinct=True)
    cross_networks = as_texts(cross_networks, "cross_networks", distinct=True)
    for name in (*cross_networks, *(() if network is None else (network,))):
        split_spec(name)
    if isinstance(protocol, str):
        protocol = PROTOCOLS.get(as_text(protocol, "protocol"))
    chosen = as_kind(protocol, Protocol, "protocol", "give one, or the name of one: `ddbench list protocols`")
    with arithmetic_of(chosen.precision, resolve_device(options.device)), ExitStack() as stack:
        return with_loggers(
            options,
            partial(describe_evaluation, distilled, dataset, chosen, network, students, seed),
            lambda options: _evaluate(
                distilled, dataset, chosen, network, students, seed, evaluators, cross_networks, options, stack
            ),
            outcome_of_result,
        )


def _evaluate(
    distilled: DistilledDataset,
    dataset: RealDataset | str,
    chosen: Protocol,
    network: str | None,
    students: int,
    seed: int,
    evaluators: tuple[str, ...],
    cross_networks: tuple[str, ...],
    options: RunOptions,
    stack: ExitStack,
) -> Result:
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
        students_at_once=options.students_at_once,
        devices=options.devices,
    )
    started_at = utc_now()
    built = [make_evaluator(name) for name in evaluators]
    with Meter(resolve_device(options.device)) as first_use:
        real = load_real(dataset, options)
        check_fits(distilled, real)
        check_values(distilled, real)
        _check_protocol(chosen, distilled, real)
        run = replace(run, distilled=at_size_of(_at_a_rate_of(chosen, distilled), real.info, chosen))
        for name in cross_networks:  # a variant that there is not, or images too small for it
            make_network(name, InputShape.of(real.info), make_generator(0, "check"))
        for evaluator in built:
            evaluator.check(run, real)
        networks = (run.network, *run.networks)
        device = resolve_device(options.device)
        threads = threads_of_students(networks, chosen, run.distilled.ipc, students, real, device)
        stack.enter_context(given_threads(threads))
        run.trainer(real, resolve_device(options.device)).warm_up(run.network)
    with given_threads(threads_of_teachers(chosen, real, device) or threads_at_hand()):
        ready = find_teacher(chosen, real, device, options.track)
    if ready is not None:
        cost = () if ready.phase is None else (ready.phase,)
        run = replace(run, soft_labels=ready.soft_labels, phases=(*run.phases, *cost))
    with shrunk_chunks(options.log) as shrunk:
        run, metrics = _measure(run, real, built, first_use.reading, options)
    teacher = None if ready is None else ready.record
    run.engine.update({**shrunk, "threads": threads})
    result = _result_of(run, distilled, real, metrics, evaluators, options)
    return result.model_copy(update={"started_at": started_at, "teacher": teacher})


def run_cell(cell: Cell, options: RunOptions, folder: Path, reuse: Path | None = None) -> Result:
    """Run one cell and return its Result, whatever happens in it short of an interrupt, in whatever guise that comes.

    Args:
        cell: what to run.
        options: data folder, device, progress.
        folder: where the distilled set and the log go.
        reuse: folder of the same distilled set from another cell, to evaluate instead of distilling again.
    """
    return with_loggers(
        replace(options, log_path=folder / LOG_FILE),
        partial(describe_cell, cell),
        lambda options: _run_cell(cell, options, folder, reuse),
        outcome_of_result,
    )


def _run_cell(cell: Cell, options: RunOptions, folder: Path, reuse: Path | None) -> Result:
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
            progress=False,
        )
        _check_data_stayed(cell, distilled, result)
        return result.model_copy(update={"key": cell.key, "started_at": started_at})
    except UnsupportedError as error:
        check_not_told_to_end()
        return unfinished_result(cell, options, "skipped", str(error), started_at)
    except DivergedError as error:
        with suppress(DDBenchError):  # the diagnosis counts for more than the images
            save_distilled(error.last_good, folder / LAST_GOOD_FOLDER)
        return unfinished_result(cell, options, "failed", tidy(f"diverged: {error}"), started_at)
    except (Exception, SystemExit) as error:  # a library that leaves the process leaves its cell alone
        check_not_told_to_end()
        if is_out_of_memory(error):
            return unfinished_result(cell, options, "out_of_memory", explain_out_of_memory(error), started_at)
        options.log("traceback", traceback.format_exc())
        return unfinished_result(cell, options, "failed", tidy(f"{type(error).__name__}: {error}"), started_at)


def _check_data_stayed(cell: Cell, distilled: DistilledDataset, result: Result) -> None:
    """Raise DataMismatchError where the data changed between the suite's start, distilling and evaluating."""
    made_from = str(distilled.provenance.get("dataset_fingerprint", ""))
    seen = {cell.dataset_fingerprint, result.dataset_fingerprint, made_from if is_of_content(made_from) else ""}
    if len(seen - {""}) > 1:
        raise DataMismatchError(f"the files of {cell.dataset} changed while the suite ran; run it again")


def _at_a_rate_of(protocol: Protocol, distilled: DistilledDataset) -> DistilledDataset:
    """Return a set without the rate that it has learned where that is none of the protocol's optimiser."""
    if distilled.student_lr is None or protocol.optimiser == "sgd":
        return distilled
    warnings.warn(
        f"the set's learned rate, {distilled.student_lr:.3g}, is for SGD: protocol {protocol.name} trains with "
        f"{protocol.optimiser} at its own rate",
        stacklevel=4,
    )
    return replace(distilled, student_lr=None)


def _check_protocol(protocol: Protocol, distilled: DistilledDataset, real: RealDataset) -> None:
    """Raise BadInputError where a protocol's augmentation cannot be applied to a set; warn where labels go unused."""
    if protocol.teacher is not None and distilled.label_mode == "soft":
        warnings.warn(
            f"protocol {protocol.name} trains on its teacher's labels: the set's own soft labels are not used",
            stacklevel=4,
        )
    if protocol.teacher is not None and distilled.space == "zca":
        raise BadInputError(
            f"protocol {protocol.name} has a teacher of normalised images, but the set is whitened; use dsa or dc"
        )
    augmentation = protocol.image_augmentation_of(real.info)
    if augmentation is None:
        return
    if real.info.channels != 3 and changes_colours(augmentation):
        raise BadInputError(
            f"protocol {protocol.name} changes colours and needs images of 3 channels, {real.info.name} has "
            f"{real.info.channels}; use dsa or dc"
        )
    if distilled.space == "zca":
        raise BadInputError(f"protocol {protocol.name} changes pixels, but the set is whitened; use dsa or dc")


def _distill_cell(cell: Cell, options: RunOptions) -> DistilledDataset:
    return distill(
        cell.method,
        cell.dataset,
        cell.ipc or 1,
        cell.distill_seed,
        cell.config,
        share_prepare=cell.share_prepare,
        options=options,
        progress=False,
    )


def _measure(
    run: DistillRun, real: RealDataset, evaluators: list[Evaluator], first_use: Reading, options: RunOptions
) -> tuple[DistillRun, tuple[Metric, ...]]:
    """Return the run with all phases, and the metrics of all evaluators, those that read phases last."""
    metrics: list[Metric] = []
    with tempfile.TemporaryDirectory(prefix="ddbench-") as scratch:
        ctx = options.context(make_generator(run.eval_seed, "evaluate", real.info.name), Path(scratch), real.info)
        with Meter(ctx.device) as shared:
            for evaluator in evaluators:
                evaluator.prepare(real, ctx)
        with Meter(ctx.device) as meter:
            for evaluator in evaluators:
                if not evaluator.reads_phases:
                    metrics += evaluator.evaluate(run, real, ctx)
        first_use, evaluated = first_use.plus(shared.reading), meter.reading
        for part in run.first_use:
            first_use, evaluated = first_use.plus(part), evaluated.less(part)
        run = replace(run, phases=_add_phases(run.phases, first_use, evaluated))
        for evaluator in evaluators:
            if evaluator.reads_phases:
                metrics += evaluator.evaluate(run, real, ctx)
    # Two evaluators may measure the same, such as one with two options: equal metrics are kept once.
    return run, tuple({(metric.name, metric.values): metric for metric in metrics}.values())


def _add_phases(phases: tuple[Phase, ...], first_use: Reading, evaluate: Reading) -> tuple[Phase, ...]:
    """Add evaluation's readings; first use before distilling and before evaluating become one account."""
    earlier = next((phase.reading for phase in phases if phase.name == "first_use"), None)
    if earlier is not None:
        first_use = earlier.plus(first_use)
    others = [phase for phase in phases if phase.name in ("prepare", "distill", "teacher")]
    return (
        Phase(name="first_use", reading=first_use),
        *others,
        Phase(name="evaluate", reading=evaluate),
    )


def _result_of(
    run: DistillRun,
    distilled: DistilledDataset,
    real: RealDataset,
    metrics: tuple[Metric, ...],
    evaluators: tuple[str, ...],
    options: RunOptions,
) -> Result:
    """Return the whole of it; `distilled` is the set as it was made, of which students may have seen smaller images."""
    origin = distilled.provenance
    device = resolve_device(options.device)
    config = origin.get("config")
    if config is None:  # a set from elsewhere is told apart by its content
        config = {SET_DIGEST: content_digest(distilled)}
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
        key=Cell(
            **identity,
            evaluators=evaluators,
            cross_networks=run.networks,
            dataset_fingerprint=real.info.cell_fingerprint,
        ).key,
        **identity,
        dataset_fingerprint=real.info.fingerprint,
        dataset_layout=real.info.layout,
        status="ok",
        metrics=metrics,
        phases=run.phases,
        distilled_bytes=distilled.num_bytes,
        class_sizes=distilled.class_sizes,
        decode_factor=distilled.decode_factor,
        space=distilled.space,
        label_mode=distilled.label_mode,
        student_lr=run.distilled.student_lr,
        foundation=origin.get("foundation", ""),
        engine={
            "test_chunk": chunk_size(device, run.protocol.precision),
            **origin.get("engine", {}),
            **run.engine,
            **(options.run_log.noted if options.run_log else {}),
        },
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
