"""The evaluator interface: what is measured on a distilled set, or read from what its making cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.passes import NetworkEngine
from ddbench.errors import BadInputError
from ddbench.images import RealDataset
from ddbench.inputs.values import as_text
from ddbench.method import RunContext
from ddbench.protocol import Protocol
from ddbench.records import Metric, Phase, Reading
from ddbench.registry import EVALUATORS
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.spread import train_on_devices
from ddbench.students.trainer import EngineKey, StudentTrainer, TrainedStudents

__all__ = ["EVALUATORS", "DistillRun", "Evaluator", "make_evaluator", "student_accuracies", "train_students_of"]


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
        devices: how many the students are spread over.
        engine: how students were trained, filled by `student_accuracies`: what a Result records and no number tells.
        engines: what passes students; every `trainer` fills and uses it.
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
    devices: int = 1
    engine: dict[str, Any] = field(default_factory=dict)
    engines: dict[EngineKey, NetworkEngine] = field(default_factory=dict)
    first_use: list[Reading] = field(default_factory=list)

    def trainer(self, real: RealDataset, device: torch.device) -> StudentTrainer:
        """Return what trains the students; the engines that it plans stay with the run."""
        return StudentTrainer(
            distilled=self.distilled,
            protocol=self.protocol,
            real=real,
            device=device,
            eval_seed=self.eval_seed,
            distill_seed=self.distill_seed,
            soft_labels=self.soft_labels,
            at_once=self.students_at_once,
            engines=self.engines,
        )


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

    def check(self, run: DistillRun, real: RealDataset) -> None:  # noqa: B027 - most measure any set
        """Raise BadInputError where this set cannot be measured: before the first student is trained."""

    @abstractmethod
    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Return the metrics of one run; `real.test` may be used for measuring and for nothing else."""


def make_evaluator(spec: str) -> Evaluator:
    """Return the evaluator of a name such as `accuracy`, or `coverage:resnet18` with an option.

    Raises:
        UnknownNameError: no such evaluator.
        BadInputError: an empty option, or one for an evaluator that takes none.
    """
    name, colon, option = as_text(spec, "name of an evaluator").partition(":")
    evaluator_class = EVALUATORS.get(name)
    if not colon:
        return evaluator_class()
    if not evaluator_class.takes_option:
        raise BadInputError(f"evaluator {name} takes no option, got {spec!r}; name it as {name}")
    if not option:
        raise BadInputError(f"evaluator {spec!r} has an empty option; name it as {name} or {name}:OPTION")
    return evaluator_class(option)


def student_accuracies(run: DistillRun, real: RealDataset, network: str, ctx: RunContext) -> tuple[float, ...]:
    """Return the last-epoch test accuracies of `run.students` fresh students; how they were trained is kept in the run.

    Raises:
        StudentDivergedError: a student's parameters are not finite at the end.
    """
    return train_students_of(run, real, network, ctx).accuracies


def train_students_of(
    run: DistillRun, real: RealDataset, network: str, ctx: RunContext, *, best_too: bool = False
) -> TrainedStudents:
    """Train and test `run.students` fresh students; how they were trained is kept in the run.

    Args:
        run: what to judge.
        real: gives the test split.
        network: name of the students' network.
        ctx: device, progress and log.
        best_too: test also on the way, where the protocol says when.

    Raises:
        StudentDivergedError: a student's parameters are not finite at the end.
    """
    trainer = run.trainer(real, ctx.device)
    # A teacher lies on one device.
    if run.devices > 1 and run.students > 1 and run.soft_labels is None:
        trained = train_on_devices(trainer, network, run.students, run.devices, ctx.log, best_too=best_too)
    else:
        trained = trainer.train_and_test(network, run.students, ctx.track, ctx.log, best_too=best_too)
    for name, value in trained.engine.items():
        run.engine[name if network == run.network else f"{name}[{network}]"] = value
    run.first_use.extend(trained.first_use)
    return trained
