"""Students of a set beside students of as many random real images: same labels, seeds and number of steps.

The random side does not depend on the set, so it is measured once for all methods and kept in the cache folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch

from ddbench.augment.zca import whiten
from ddbench.errors import BadInputError
from ddbench.evaluator import DistillRun
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.meter import Meter
from ddbench.method import RunContext
from ddbench.methods._coresets.selection import draw_real, select_real
from ddbench.network import plugin_code
from ddbench.protocol import Protocol, Schedule
from ddbench.records import DistilledDataset, LabeledImages, RealDataset
from ddbench.seeding import make_generator
from ddbench.students.data import TrainingSet
from ddbench.students.label_regimes import LabelledSet, Regime, label_set
from ddbench.students.teacher import ReadyTeacher, find_teacher
from ddbench.students.trainer import StudentTrainer
from ddbench.training_recipe import Teacher

CACHE_VERSION = 1  # raised where the same key would give other accuracies

UNCHANGED: Mapping[str, Any] = {}


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
    def teacher(self) -> ReadyTeacher | None:
        """The protocol's teacher; without one, one of the students' network at temperature 1. Billed to first use."""
        own = self.run.protocol.teacher
        if own is None:
            whole = self.protocol.real_schedule
            if self.teacher_epochs is not None:
                drop = max(1, whole.drop_at * self.teacher_epochs // whole.epochs)
                whole = Schedule(epochs=self.teacher_epochs, drop_at=drop)
            own = Teacher(network=self.run.network, schedule=whole, seed=0, temperature=1.0, loss="kl")
        with Meter(self.ctx.device) as meter:
            found = find_teacher(
                self.run.protocol.model_copy(update={"teacher": own}), self.real, self.ctx.device, self.ctx.track
            )
        self.run.first_use.append(meter.reading)
        return found

    @property
    def own_regime(self) -> Regime:
        """The labels that the set is meant to be trained with under the protocol."""
        if self.run.protocol.teacher is not None:
            return "online"
        return "soft" if self.run.distilled.label_mode == "soft" else "hard"

    def labelled(self, distilled: DistilledDataset, regime: Regime) -> LabelledSet | None:
        """Return a set with the labels of a regime; random images, once labelled, are whitened if the set is.

        None where nobody can give the labels.
        """
        gives_own = regime == "hard" or (regime == "soft" and distilled.label_mode == "soft")
        teacher = None if gives_own or distilled.space == "zca" else self.teacher
        found = label_set(distilled, regime, teacher, self.real.info, self.ctx.device)
        whitening = self.run.distilled.whitening
        if found is None or whitening is None or distilled.space == "zca":
            return found
        drawn = found.distilled
        white = replace(drawn, images=whiten(drawn.images, whitening), space="zca", whitening=whitening)
        return replace(found, distilled=white)

    def own(
        self, regime: Regime, rate: float | None = None, changes: Mapping[str, Any] = UNCHANGED
    ) -> tuple[LabelledSet, tuple[float, ...]] | None:
        """Return the set with the labels of a regime and its students' accuracies; None where there are none.

        Args:
            regime: which labels.
            rate: learning rate of the students, in place of the set's or the protocol's.
            changes: fields of the protocol that are others.
        """
        labelled = self.labelled(self.run.distilled, regime)
        if labelled is None:
            return None
        if rate is not None:
            labelled = replace(labelled, distilled=replace(labelled.distilled, student_lr=rate))
        trained = self.trainer(labelled, changes).train_and_test(
            self.run.network, self.run.students, self.ctx.track, self.ctx.log
        )
        self.run.first_use.extend(trained.first_use)
        return labelled, trained.accuracies

    def random(self, regime: Regime, changes: Mapping[str, Any] = UNCHANGED) -> tuple[float, ...]:
        """Return the accuracies of students of random real images with the labels of a regime, measured once."""
        schedule = self.random_schedule(changes)
        with cached_work(self._key(regime, schedule, changes)) as work:
            if work.account is None:
                labelled = self.labelled(self.random_set(), regime)
                if labelled is None:
                    raise RuntimeError(f"random images cannot be labelled under {regime}")
                trainer = replace(self.trainer(labelled, changes), schedule=schedule)
                trained = trainer.train_and_test(self.run.network, self.run.students, self.ctx.track, self.ctx.log)
                work.keep({"accuracies": list(trained.accuracies)})
            assert work.account is not None
            return tuple(map(float, work.account["accuracies"]))

    def random_set(self, train: LabeledImages | None = None) -> DistilledDataset:
        """Return the set that `random_real` draws at the set's budget and seed, or from a part of the images.

        Raises:
            BadInputError: the whole training set, beside which nothing random stands.
        """
        ipc, info = self.run.distilled.ipc, self.real.info
        if ipc is None:
            raise BadInputError("the whole training set has no random counterpart; evaluate a distilled set")
        generator = make_generator(self.run.distill_seed or 0, "distill", info.name)
        source = self.real.train if train is None else train
        return select_real(source, draw_real(source, ipc, generator), ipc)

    def trainer(self, labelled: LabelledSet, changes: Mapping[str, Any] = UNCHANGED) -> StudentTrainer:
        """Return what trains students of a labelled set under the protocol with some fields changed."""
        plain = replace(self.run, protocol=self.protocol.model_copy(update=dict(changes)), soft_labels=None)
        trainer = replace(plain.trainer(self.real, self.ctx.device), distilled=labelled.distilled)
        return replace(trainer, soft_labels=labelled.soft_labels)

    def random_schedule(self, changes: Mapping[str, Any]) -> Schedule:
        """Return a schedule by which random images are trained on in as many steps as the set's."""
        labelled = LabelledSet(replace(self.run.distilled, labels=self.run.distilled.classes), None, 0, "class")
        trainer = self.trainer(labelled, changes)
        plan, ipc = trainer.plan, self.run.distilled.ipc or 1
        seen = len(TrainingSet.of(labelled.distilled, self.real.info, torch.device("cpu")))
        steps = plan.schedule.epochs * math.ceil(seen / plan.batch_size)
        per_epoch = math.ceil(ipc * self.real.info.num_classes / plan.batch_size)
        epochs = max(1, round(steps / per_epoch))
        if epochs == plan.schedule.epochs:
            return plan.schedule
        ratio = epochs / plan.schedule.epochs
        first, *later = (max(1, round(at * ratio)) for at in (plan.schedule.drop_at, *plan.schedule.later_drops))
        return Schedule(epochs=epochs, drop_at=first, later_drops=tuple(later))

    def _key(self, regime: Regime, schedule: Schedule, changes: Mapping[str, Any]) -> WorkKey:
        run, whitening = self.run, self.run.distilled.whitening
        content = {
            "regime": regime,
            "protocol": self.protocol.model_copy(update=dict(changes)).model_dump(mode="json"),
            "schedule": schedule.model_dump(mode="json"),
            "code": plugin_code(run.network),
            "data": asdict(self.real.info),
            "ipc": run.distilled.ipc,
            "students": run.students,
            "seeds": [run.distill_seed, run.eval_seed],
            "teacher": self.teacher.record.sha256 if regime != "hard" and self.teacher else "",
            "temperature": self.teacher.soft_labels.temperature if regime == "online" and self.teacher else 1.0,
            "whitening": "" if whitening is None else whitening.hash,
            "device": self.ctx.device.type,
        }
        return WorkKey("random_sides", run.network, self.real.info.name, CACHE_VERSION, content)
