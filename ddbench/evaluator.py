"""The evaluator interface: what is measured on a distilled set, or read from what its making cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ddbench.engine.chunks import in_chunks
from ddbench.engine.passes import NetworkEngine, plan_engine
from ddbench.errors import BadInputError
from ddbench.host.meter import Meter
from ddbench.method import RunContext
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Protocol
from ddbench.records import DistilledDataset, Metric, Phase, Reading, RealDataset
from ddbench.registry import EVALUATORS
from ddbench.seeding import make_generator
from ddbench.students.batched import MOST_AT_ONCE, students_at_once, together_unsupported, train_students
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from ddbench.students.soft_labels import SoftLabels

__all__ = ["EVALUATORS", "DistillRun", "Evaluator", "make_evaluator", "student_accuracies"]


@dataclass(frozen=True, eq=False)
class DistillRun:
    """A distilled set, how it is to be judged, and what has been measured so far.

    Attributes:
        distilled: the set.
        protocol: how students are trained.
        network: name of the student network.
        networks: further networks, for evaluators that compare several.
        students: how many students are trained per network.
        eval_seed: seed of the students.
        distill_seed: seed the set was made with, None for a set of unknown origin.
        phases: readings of the phases that have ended.
        soft_labels: the teacher's, under a protocol that has one.
        students_at_once: how many students one call trains, where they can be; by the device's memory where None.
        engine: how students were trained, filled by `student_accuracies`: what a Result records and no number tells.
        engines: what passes the students of each network, filled by `engine_of`.
        first_use: readings, inside the evaluation, of what is done once before students train, such as capturing a
            CUDA graph; filled by `student_accuracies` and billed to first use.
    """

    distilled: DistilledDataset
    protocol: Protocol
    network: str
    students: int
    eval_seed: int
    distill_seed: int | None = None
    networks: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    soft_labels: SoftLabels | None = None
    students_at_once: int | None = None
    engine: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, NetworkEngine] = field(default_factory=dict)
    first_use: list[Reading] = field(default_factory=list)

    def engine_of(self, network: str, real: RealDataset, device: torch.device) -> NetworkEngine:
        """Return the engine for students of a network, the same at every call."""
        if network not in self.engines:
            plan = TrainingPlan.of(self.protocol, real.info, self.distilled.ipc)
            shape = InputShape.of(real.info)
            built = make_network(network, shape, make_generator(0, "engine")).to(device)
            batch_size = min(plan.batch_size, len(self.distilled.labels))
            self.engines[network] = plan_engine(network, built, shape, plan.precision, device, batch_size)
        return self.engines[network]


class Evaluator(ABC):
    """Turns a run into metrics. `reads_phases` ones run when every phase has ended and only translate readings.

    One that `takes_option` is named `NAME` or `NAME:OPTION`; the option must change the names of its metrics.
    """

    reads_phases: ClassVar[bool] = False
    takes_option: ClassVar[bool] = False

    def __init__(self, option: str | None = None) -> None:
        self.option = option

    def prepare(self, real: RealDataset, ctx: RunContext) -> None:  # noqa: B027 - most have nothing to prepare
        """Do work that all sets of a data set share, once, and keep it in the cache folder; billed to first use.

        `evaluate` must not need it to have been called.
        """

    @abstractmethod
    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Return the metrics of one run; `real.test` may be used for measuring and for nothing else."""


def make_evaluator(spec: str) -> Evaluator:
    """Return the evaluator of a name such as `accuracy`, or `coverage:resnet18` with an option.

    Raises:
        UnknownNameError: no such evaluator.
        BadInputError: an empty option, or one for an evaluator that takes none.
    """
    name, colon, option = spec.partition(":")
    evaluator_class = EVALUATORS.get(name)
    if not colon:
        return evaluator_class()
    if not evaluator_class.takes_option:
        raise BadInputError(f"evaluator {name} takes no option, got {spec!r}; name it as {name}")
    if not option:
        raise BadInputError(f"evaluator {spec!r} has an empty option; name it as {name} or {name}:OPTION")
    return evaluator_class(option)


def student_accuracies(run: DistillRun, real: RealDataset, network: str, ctx: RunContext) -> tuple[float, ...]:
    """Train `run.students` fresh networks on the distilled set and return their last-epoch test accuracies.

    Student i of a set is initialised and trained from (eval_seed, distill_seed, i) alone: methods are compared on equal
    draws, and the sets of one method on different ones. How many are trained at once changes no draw; where memory runs
    out it is halved.

    Raises:
        StudentDivergedError: a student's parameters are not finite at the end.
    """
    if run.protocol.teacher is not None and run.soft_labels is None:
        raise RuntimeError(f"protocol {run.protocol.name} needs its teacher's labels; `find_teacher` gives them")
    data = TrainingSet.of(run.distilled, real.info, ctx.device, real.train)
    plan = TrainingPlan.of(run.protocol, real.info, run.distilled.ipc, student_lr=run.distilled.student_lr)
    # Once for all students: the matrix of 3x32x32 images has 36 MiB.
    whitening = None if run.distilled.whitening is None else run.distilled.whitening.to(ctx.device)
    test = real.test.on(ctx.device)

    def train_and_test(students: list[int]) -> list[float]:
        networks, generators = zip(*(_make_student(run, real, network, i, ctx) for i in students), strict=True)
        if not together:
            train_student(networks[0], data, plan, generators[0], ctx.track, run.soft_labels, engine)
        else:
            how = train_students(networks, data, plan, generators, ctx.track)
            run.engine[_engine_key("students_together", run, network)] = how.mode
            run.first_use.extend(how.captures)
        accuracies = [measure_accuracy(built, test, ctx.device, whitening, engine) for built in networks]
        for student, accuracy in zip(students, accuracies, strict=True):
            ctx.log(f"test_accuracy[{network}, student {student}]", accuracy)
        return accuracies

    engine = run.engine_of(network, real, ctx.device)
    at_once = _choose_at_once(run, network, data, plan, lambda: _make_student(run, real, network, 0, ctx)[0])
    # On a GPU a single student's steps are captured too: its bits do not depend on how many fitted beside it.
    together = at_once > 1 or (data.device.type == "cuda" and _one_by_one_key(run, network) not in run.engine)
    run.engine[_engine_key("students_at_once", run, network)] = at_once
    found = in_chunks("students_at_once", train_and_test, list(range(run.students)), at_once)
    for name, value in engine.record().items():
        run.engine[_engine_key(name, run, network)] = value
    return tuple(accuracy for part in found for accuracy in part)


def _make_student(
    run: DistillRun, real: RealDataset, network: str, student: int, ctx: RunContext
) -> tuple[Network, torch.Generator]:
    """Return a fresh student on the device, and the generator it is trained with."""
    axes = ("set", str(run.distill_seed), "student", student)
    initial = make_generator(run.eval_seed, *axes, "initial", network)
    built = make_network(network, InputShape.of(real.info), initial).to(ctx.device)
    return built, make_generator(run.eval_seed, *axes, "training")


def _choose_at_once(
    run: DistillRun, network: str, data: TrainingSet, plan: TrainingPlan, make: Callable[[], Network]
) -> int:
    """Return how many students one call trains, and note why it is one where more were to be."""
    wanted = run.students_at_once or (MOST_AT_ONCE if data.device.type == "cuda" else 1)
    if wanted == 1 and data.device.type != "cuda":
        return 1
    reason = together_unsupported(make(), data, plan, has_teacher=run.soft_labels is not None)
    if reason is not None:
        run.engine[_one_by_one_key(run, network)] = reason
        return 1
    if run.students_at_once is None:
        with Meter(data.device) as meter:
            wanted = students_at_once(make(), data, plan)
        run.first_use.append(meter.reading)
    return min(wanted, run.students)


def _one_by_one_key(run: DistillRun, network: str) -> str:
    """Return the key of the reason why students could not be trained at once."""
    return _engine_key("students_one_by_one", run, network)


def _engine_key(name: str, run: DistillRun, network: str) -> str:
    """Return the key of an engine setting, with the network's name where it is not the run's own."""
    return name if network == run.network else f"{name}[{network}]"
