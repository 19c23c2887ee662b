"""Training students of a distilled set, each drawn from its seeds, and testing them; or a network on real images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.chunks import in_chunks
from ddbench.engine.passes import NetworkEngine, plan_engine
from ddbench.errors import BadInputError
from ddbench.host.meter import Meter
from ddbench.images import LabeledImages, RealDataset, Whitening
from ddbench.inputs.values import as_count, as_function, as_kind, shown
from ddbench.method import Resumable, Tracker, unlogged, untracked
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Protocol, Schedule
from ddbench.records import Reading
from ddbench.seeding import make_generator
from ddbench.students.batched import MOST_AT_ONCE, students_at_once, together_unsupported, train_students
from ddbench.students.data import TrainingSet
from ddbench.students.loop import StudentDivergedError, TrainingPlan, chunk_size, measure_accuracy, train_student
from ddbench.students.margin import with_margin
from ddbench.students.resuming import TrainingState
from ddbench.students.soft_labels import SoftLabels
from ddbench.training_recipe import Precision

EngineKey = tuple[str, Precision, int, int, torch.device]  # network, precision, batch size, its parts, device


def train_network(
    network: Network,
    train: LabeledImages,
    plan: TrainingPlan,
    generator: torch.Generator,
    track: Tracker = untracked,
    also: Resumable | None = None,
) -> Network:
    """Train a network on real images, whole batches at a time, and return it, still in training mode.

    A method's `ctx.track` resumes it after a kill, at the epoch that it had come to.

    Args:
        network: where to compute; trained in place, from wherever it stands.
        train: what to train on; images that are not held in memory are read batch by batch.
        plan: schedule, SGD constants, augmentation.
        generator: CPU generator for the order of images and the augmentation.
        track: shows progress over the epochs.
        also: what else changes from epoch to epoch and must be kept with the network.

    Raises:
        BadInputError: an argument of another kind, or a plan with numbers that cannot be.
        StudentDivergedError: parameters are not finite at the end.
    """
    as_kind(network, torch.nn.Module, "network", "make_network makes one")
    as_kind(train, LabeledImages, "train", "give the `train` of a data set")
    as_kind(plan, TrainingPlan, "plan", "make it with TrainingPlan(...)").check()
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise BadInputError(f"generator must be a torch.Generator on the CPU, got {shown(generator)}")
    as_function(track, "track")
    parameter = next(network.parameters(), None)
    if parameter is None:
        raise BadInputError(f"network {type(network).__name__} has no parameters, there is nothing to train")
    device = parameter.device
    state = TrainingState(network, generator, also)
    try:
        train_student(network, TrainingSet.of_real(train, device), plan, generator, track, state=state)
    except StudentDivergedError as error:
        raise plan.diverged("a network's parameters", "lower the rate that it is trained at") from error
    return network


@dataclass(eq=False)
class TrainedStudents:
    """What came out of training students of one network.

    Attributes:
        accuracies: on the test split after the last epoch, one a student.
        best: of the tests of the protocol's `best_of`, one a student; empty where they were not asked for.
        engine: how they were trained: what a Result records and no number tells.
        first_use: readings of what is done once before students train, such as capturing a CUDA graph.
    """

    accuracies: tuple[float, ...] = ()
    best: tuple[float, ...] = ()
    engine: dict[str, Any] = field(default_factory=dict)
    first_use: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class StudentTrainer:
    """Trains students on one distilled set under one protocol, and tests them.

    Student i of a network is initialised and trained from (eval_seed, distill_seed, i) alone: methods are compared on
    equal draws, and the sets of one method on different ones. How many are trained at once changes no draw.

    Attributes:
        distilled: the set.
        protocol: how students are trained.
        real: gives the test split, and the images that a streamed set stands for.
        device: where to compute.
        eval_seed: seed of the students.
        distill_seed: seed the set was made with, None for a set of unknown origin.
        soft_labels: the teacher's, under a protocol that has one.
        schedule: of the training, where it is not the protocol's.
        at_once: how many students one call trains, where they can be; by the device's memory where None.
        engines: what passes networks, filled by `engine_of`; may be shared with other trainers on the same data set.
    """

    distilled: DistilledDataset
    protocol: Protocol
    real: RealDataset
    device: torch.device
    eval_seed: int
    distill_seed: int | None = None
    soft_labels: SoftLabels | None = None
    schedule: Schedule | None = None
    at_once: int | None = None
    engines: dict[EngineKey, NetworkEngine] = field(default_factory=dict)

    @cached_property
    def plan(self) -> TrainingPlan:
        """How students are trained, without the rate that a protocol may have for one network, see `plan_for`."""
        return self.plan_for("")

    def plan_for(self, network: str) -> TrainingPlan:
        """Return the plan of a network; a rate that the set has learned takes the place of the protocol's."""
        learned = self.distilled.student_lr
        plan = TrainingPlan.of(self.protocol, self.real.info, self.distilled.ipc, network=network, student_lr=learned)
        return plan if self.schedule is None else replace(plan, schedule=self.schedule)

    @cached_property
    def data(self) -> TrainingSet:
        """What students are trained on, on the device."""
        return TrainingSet.of(self.distilled, self.real.info, self.device, self.real.train)

    def engine_of(self, network: str) -> NetworkEngine:
        """Return what passes the students of a network, the same at every call."""
        plan = self.plan
        batch_size = min(plan.batch_size, len(self.data))
        key = (network, plan.precision, batch_size, plan.accumulates, self.device)
        if key not in self.engines:
            built, shape = self._make(network, make_generator(0, "engine")), InputShape.of(self.real.info)
            self.engines[key] = plan_engine(
                network, built, shape, plan.precision, self.device, batch_size, part=plan.part
            )
        return self.engines[key]

    def warm_up(self, network: str) -> None:
        """Take one step and one forward pass of a student that is then dropped: what a process does once is done."""
        generator = make_generator(0, "warm up")
        built, engine = self._make(network, generator), self.engine_of(network)
        plan = replace(self.plan, schedule=Schedule(epochs=1, drop_at=1), lr=0.0, best_of=None)
        train_student(built, self.data.first(plan.batch_size), plan, generator, engine=engine)
        test = self._test_images
        few = torch.arange(min(len(test), chunk_size(self.device, plan.precision)))
        test = replace(test, images=test.pixels(few), labels=test.labels[few])
        measure_accuracy(built, test, self.device, self._whitening, engine)

    def train_and_test(
        self,
        network: str,
        students: int,
        track: Tracker = untracked,
        log: Callable[[str, object], None] = unlogged,
        *,
        best_too: bool = False,
        chosen: Sequence[int] | None = None,
    ) -> TrainedStudents:
        """Train fresh students of a network and test each after the last epoch.

        Where memory runs out, fewer are trained at once.

        Args:
            network: its name.
            students: how many, at least 1.
            track: shows progress over the epochs.
            log: is given every accuracy.
            best_too: test also after the epochs of the protocol's `best_of`.
            chosen: numbers of the students, as many; the first ones where None.

        Raises:
            BadInputError: no number of students.
            StudentDivergedError: a student's parameters are not finite at the end.
        """
        students = as_count(students, "students")
        if self.protocol.teacher is not None and self.soft_labels is None:
            raise RuntimeError(f"protocol {self.protocol.name} needs its teacher's labels; `find_teacher` gives them")
        engine, test, found = self.engine_of(network), self._test_images.on(self.device), TrainedStudents()
        plan = self.plan_for(network) if best_too else replace(self.plan_for(network), best_of=None)

        def accuracy_of(built: Network) -> float:
            return measure_accuracy(built, test, self.device, self._whitening, engine)

        def train_and_test(part: list[int]) -> list[tuple[float, list[float]]]:
            networks, generators = zip(*(self._make_student(network, student) for student in part), strict=True)
            seen: list[float] = []

            def look(built: Network) -> None:
                seen.append(accuracy_of(built))

            if not together:
                train_student(networks[0], self.data, plan, generators[0], track, self.soft_labels, engine, look)
            else:
                how = train_students(networks, self.data, plan, generators, track)
                found.engine["students_together"] = how.mode
                found.first_use.extend(how.captures)
            # Of several students none is tested on the way, of one the last test is that after the last epoch.
            accuracies = seen[-1:] or [accuracy_of(built) for built in networks]
            for student, accuracy in zip(part, accuracies, strict=True):
                log(f"test_accuracy[{network}, student {student}]", accuracy)
            return [(accuracy, seen) for accuracy in accuracies]

        at_once = self._choose_at_once(network, students, found)
        # On a GPU a single student's steps are captured too: its bits do not depend on how many fitted beside it.
        together = at_once > 1 or (self.device.type == "cuda" and "students_one_by_one" not in found.engine)
        found.engine["students_at_once"] = at_once
        parts = in_chunks("students_at_once", train_and_test, list(chosen or range(students)), at_once)
        found.accuracies = tuple(accuracy for part in parts for accuracy, _ in part)
        found.best = tuple(max(seen) for part in parts for _, seen in part if seen)
        found.engine.update(engine.record())
        return found

    @cached_property
    def _test_images(self) -> LabeledImages:
        return with_margin(self.real.test) if self.protocol.test_margin else self.real.test

    @cached_property
    def _whitening(self) -> Whitening | None:
        """On the device once for all students: the matrix of 3x32x32 images has 36 MiB."""
        whitening = self.distilled.whitening
        return None if whitening is None else whitening.to(self.device)

    def _make(self, network: str, initial: torch.Generator) -> Network:
        return make_network(network, InputShape.of(self.real.info), initial).to(self.device)

    def _make_student(self, network: str, student: int) -> tuple[Network, torch.Generator]:
        """Return a fresh student, and the generator it is trained with."""
        axes = ("set", str(self.distill_seed), "student", student)
        built = self._make(network, make_generator(self.eval_seed, *axes, "initial", network))
        return built, make_generator(self.eval_seed, *axes, "training")

    def _choose_at_once(self, network: str, students: int, found: TrainedStudents) -> int:
        """Return how many students one call trains, and note why it is one where more were to be."""
        on_gpu = self.device.type == "cuda"
        wanted = self.at_once or (MOST_AT_ONCE if on_gpu else 1)
        if wanted == 1 and not on_gpu:
            return 1
        first, _ = self._make_student(network, 0)
        reason = together_unsupported(first, self.data, self.plan, has_teacher=self.soft_labels is not None)
        if reason is not None:
            found.engine["students_one_by_one"] = reason
            return 1
        if self.at_once is None:
            with Meter(self.device) as meter:
                wanted = students_at_once(first, self.data, self.plan)
            found.first_use.append(meter.reading)
        return min(wanted, students)
