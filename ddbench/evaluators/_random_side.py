"""Students of a set beside students of as many random real images, by the same seeds and number of steps.

The random side does not depend on the set, so it is measured once for all methods and kept in the cache folder; its
cost is no part of what evaluating a set costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ddbench.augment.zca import whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.evaluator import DistillRun
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.meter import Meter
from ddbench.images import LabeledImages, RealDataset
from ddbench.method import RunContext
from ddbench.methods._coresets.selection import draw_distinct
from ddbench.network import plugin_code
from ddbench.protocol import Protocol, Schedule
from ddbench.seeding import make_generator
from ddbench.students.label_regimes import LabelledSet, label_set
from ddbench.students.teacher import ReadyTeacher, find_teacher
from ddbench.students.trainer import StudentTrainer
from ddbench.training_recipe import Regime, Teacher

CACHE_VERSION = 1  # raised where the same key would give other numbers
UNCHANGED: Mapping[str, Any] = {}


def check_random_side(
    distilled: DistilledDataset, train: LabeledImages, held_out_of: Callable[[int], int] = lambda count: 0
) -> None:
    """Raise BadInputError where there are too few real images for a random counterpart.

    Args:
        distilled: the set.
        train: what is drawn from.
        held_out_of: how many of a class's images may not be drawn.
    """
    for label, wanted in enumerate(class_counts(distilled)):
        there = len(train.of_class(label))
        if wanted > there - (held := held_out_of(there)):
            spared = f", {held} of them held out" if held else ""
            raise BadInputError(
                f"a random counterpart needs {wanted} real images of class {train.info.class_names[label]!r}, there "
                f"are {there}{spared}; evaluate a smaller set, or leave this evaluator out"
            )


def class_counts(distilled: DistilledDataset) -> list[int]:
    """Return how many images a random counterpart has of each class: as many as the set."""
    if distilled.uneven:
        return [int(count) for count in distilled.classes.bincount(minlength=distilled.num_classes)]
    return [distilled.ipc or 0] * distilled.num_classes


@dataclass(eq=False)
class RandomSide:
    """A set under judgement and what its random counterpart is.

    Attributes:
        run: the set, the protocol, how many students and from which seeds.
        real: the data set.
        ctx: device and progress.
        teacher_epochs: of a teacher that the protocol does not have; its `real_schedule` where None.
    """

    run: DistillRun
    real: RealDataset
    ctx: RunContext
    teacher_epochs: int | None = None

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol without its teacher: a regime says whose labels are trained on."""
        return self.run.protocol.model_copy(update={"teacher": None})

    @cached_property
    def teacher(self) -> ReadyTeacher:
        """The protocol's teacher; without one, one of the students' network at temperature 1. Billed to first use."""
        own = self.run.protocol.teacher
        if own is None:
            whole = self.protocol.real_schedule
            schedule = whole if self.teacher_epochs is None else whole.scaled(self.teacher_epochs)
            own = Teacher(network=self.run.network, schedule=schedule, seed=0, temperature=1.0, loss="kl")
        taught = self.run.protocol.model_copy(update={"teacher": own})
        with Meter(self.ctx.device) as meter:
            found = find_teacher(taught, self.real, self.ctx.device, self.ctx.track)
        self.run.first_use.append(meter.reading)
        assert found is not None  # the protocol has one
        return found

    @property
    def used_teacher(self) -> ReadyTeacher | None:
        """The teacher where any label has come from it, None where none has."""
        return self.__dict__.get("teacher")

    @property
    def own_regime(self) -> Regime:
        """The labels that the set is meant to be trained with under the protocol."""
        if self.run.protocol.teacher is not None:
            return "online"
        return "own" if self.run.distilled.label_mode == "soft" else "hard"

    def labelled(self, distilled: DistilledDataset, regime: Regime) -> LabelledSet:
        """Return a set with the labels of a regime that `can_label` allows.

        Random images, once labelled, are whitened if the set is.
        """
        teacher = self.teacher if regime in ("soft", "online") else None
        found = label_set(distilled, regime, teacher, self.real.info, self.ctx.device)
        whitening = self.run.distilled.whitening
        if whitening is None or distilled.space == "zca":
            return found
        drawn = found.distilled
        white = replace(drawn, images=whiten(drawn.images, whitening), space="zca", whitening=whitening)
        return replace(found, distilled=white)

    def own(
        self, regime: Regime, rate: float | None = None, changes: Mapping[str, Any] = UNCHANGED
    ) -> tuple[LabelledSet, tuple[float, ...]]:
        """Return the set with the labels of a regime, and its students' accuracies.

        Args:
            regime: which labels.
            rate: learning rate of the students, in place of the set's or the protocol's.
            changes: fields of the protocol that are others.
        """
        labelled = self.labelled(self.run.distilled, regime)
        trainer = self.trainer(labelled, rate, changes)
        trained = trainer.train_and_test(self.run.network, self.run.students, self.ctx.track, self.ctx.log)
        self.run.first_use.extend(trained.first_use)
        return labelled, trained.accuracies

    def random(
        self, regime: Regime, rate: float | None = None, changes: Mapping[str, Any] = UNCHANGED
    ) -> tuple[float, ...]:
        """Return the accuracies of students of random real images, with arguments as for `own`; measured once.

        Under regime `own` they have a teacher's labels, those of `soft`: nobody else has any for them.
        """
        regime = self.of_random(regime)
        schedule = self.random_schedule(changes)

        def measure() -> list[float]:
            trainer = self.trainer(self.labelled(self.random_set(), regime), rate, changes)
            trainer = replace(trainer, schedule=schedule)
            students = self.run.students
            return list(trainer.train_and_test(self.run.network, students, self.ctx.track, self.ctx.log).accuracies)

        content = {"students": self.run.students, "rate": rate, "eval_seed": self.run.eval_seed}
        return tuple(self.once("accuracies", self.key_content(regime, schedule, changes) | content, measure))

    @staticmethod
    def of_random(regime: Regime) -> Regime:
        """Return the regime of the random images that stand beside a set under a regime."""
        return "soft" if regime == "own" else regime

    def once(self, what: str, content: Mapping[str, Any], measure: Callable[[], list[float]]) -> list[float]:
        """Return numbers that are measured once and kept; the time that takes is billed to first use."""
        key = WorkKey("random_sides", self.run.network, self.real.info.name, CACHE_VERSION, {"what": what, **content})
        with cached_work(key) as work:
            if work.account is None:
                with Meter(self.ctx.device) as meter:
                    numbers = measure()
                self.run.first_use.append(meter.reading)
                work.keep({"numbers": numbers})
            assert work.account is not None
            return [float(number) for number in work.account["numbers"]]

    def random_set(self, allowed: Sequence[Tensor] | None = None) -> DistilledDataset:
        """Return the set that `random_real` draws at the set's seed, as many images of each class as the set has.

        Args:
            allowed: by class, the indices of the images that may be drawn; all of them where None.
        """
        train, counts = self.real.train, class_counts(self.run.distilled)
        generator = make_generator(self.run.distill_seed or 0, "distill", self.real.info.name)
        places = allowed or [train.of_class(label) for label in range(train.num_classes)]
        drawn = [draw_distinct(rows, count, generator) for rows, count in zip(places, counts, strict=True)]
        rows = torch.cat(drawn)
        made = self.run.distilled
        return DistilledDataset(
            train.pixels(rows), train.labels[rows], train.num_classes, made.ipc, "pixels", uneven=made.uneven
        )

    def trainer(
        self, labelled: LabelledSet, rate: float | None = None, changes: Mapping[str, Any] = UNCHANGED
    ) -> StudentTrainer:
        """Return what trains students of a labelled set under the protocol with some fields changed."""
        plain = replace(self.run, protocol=self.protocol.model_copy(update=dict(changes)), soft_labels=None)
        trainer = plain.trainer(self.real, self.ctx.device)
        # As the set's own: a protocol for many classes has a rate that would take the place of another one.
        made = labelled.distilled if rate is None else replace(labelled.distilled, student_lr=rate)
        return replace(trainer, distilled=made, soft_labels=labelled.soft_labels)

    def random_schedule(self, changes: Mapping[str, Any] = UNCHANGED) -> Schedule:
        """Return a schedule by which random images are trained on in as many steps as the set's."""
        made = self.run.distilled
        plan = self.trainer(LabelledSet(made, None, 0), None, changes).plan
        steps = plan.schedule.epochs * math.ceil(len(made.labels) * made.decode_factor**2 / plan.batch_size)
        epochs = max(1, round(steps / math.ceil(sum(class_counts(made)) / plan.batch_size)))
        return plan.schedule if epochs == plan.schedule.epochs else plan.schedule.scaled(epochs)

    def _teacher_beyond_its_file(self, teacher: ReadyTeacher | None) -> dict[str, Any]:
        """Return what a teacher's logits follow from beside the bytes of its file; nothing for one that is trained."""
        part = self.run.protocol.teacher
        if teacher is None or part is None or not any(member.is_given for member in part.members):
            return {}
        return {"teacher_members": [member.model_dump(mode="json", exclude_defaults=True) for member in part.members]}

    def key_content(self, regime: Regime, schedule: Schedule, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what numbers of random images follow from, whatever they are."""
        run, whitening = self.run, self.run.distilled.whitening
        teacher = None if regime == "hard" else self.teacher
        return {
            "regime": regime,
            "protocol": self.protocol.model_copy(update=dict(changes)).model_dump(mode="json"),
            "schedule": schedule.model_dump(mode="json"),
            "code": plugin_code(run.network),
            "data": asdict(self.real.info),
            "counts": class_counts(run.distilled),
            "distill_seed": run.distill_seed,
            "teacher": "" if teacher is None else [teacher.record.sha256, teacher.soft_labels.temperature],
            **self._teacher_beyond_its_file(teacher),
            "whitening": "" if whitening is None else whitening.hash,
            "device": self.ctx.device.type,
        }
