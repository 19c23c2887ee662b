"""Evaluation protocols: frozen, named, versioned and hashed, so that two numbers are comparable or visibly not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, StrictBool

from ddbench.augment.strategies import without_flip
from ddbench.errors import BadInputError
from ddbench.inputs.checked import Checked
from ddbench.registry import PROTOCOLS
from ddbench.training_recipe import (
    CutMix,
    ImageAugmentation,
    ManyClasses,
    Number,
    Precision,
    Schedule,
    ScheduleByIpc,
    Teacher,
    Whole,
)

if TYPE_CHECKING:  # which imports torch
    from ddbench.images import DatasetInfo

__all__ = ["PROTOCOLS", "Protocol", "Schedule"]


class Protocol(Checked):
    """How students are trained and judged. Every field is part of the hash.

    Attributes:
        network: default student; an evaluation on another network is another row, not another protocol.
        schedule: for distilled sets, the same for all or by IPC; `schedule_for` overrides it for named data sets.
        real_schedule: for `full_real`, whose epochs are thousands of times longer.
        lr: SGD learning rate; a distilled set's learned `student_lr` takes its place.
        lr_drop: factor on the rate at every drop.
        resets_momentum: the optimiser is made anew at a drop, as in the DC family's reference code.
        augmentation: DSA strategy for each batch, empty for none; `flip` is left out for a data set that may not be
            mirrored. `augmentation_for` overrides it by data set, as it stands there.
        precision: of the students' passes, in training and testing: `bf16` by autocast, parameters staying float32;
            `tf32` on GPUs from Ampere on. cuDNN takes algorithms that repeat their bits under every protocol.
        reported: which epoch's accuracy counts. It is said here and hashed; no code asks for it, because
            `StudentTrainer.train_and_test` has nothing but the last epoch to test.
        image_augmentation: crops, flips and colours of each image, instead of DSA.
        cutmix: mixes the images of a batch, and their labels, after the other augmentation.
        many_classes: other constants for data sets of many classes.
        resize: how sets whose images are larger than the data set's are brought to its size before anything else:
            `bilinear` (antialiased, as real images are scaled); empty for not at all, such sets are refused.
        teacher: gives the labels of every augmented batch, in place of the set's own, which are then not used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: Whole = Field(ge=1)
    network: str
    schedule: Schedule | ScheduleByIpc
    schedule_for: Mapping[str, Schedule] = {}
    real_schedule: Schedule
    optimiser: Literal["sgd"] = "sgd"
    lr: Number = Field(default=0.01, ge=0)
    lr_drop: Number = Field(default=0.1, ge=0)
    momentum: Number = Field(default=0.9, ge=0)
    weight_decay: Number = Field(default=5e-4, ge=0)
    resets_momentum: StrictBool = True
    batch_size: Whole = Field(default=256, ge=1)
    augmentation: str = ""
    augmentation_for: Mapping[str, str] = {}
    precision: Precision = "fp32"
    reported: Literal["last epoch"] = "last epoch"
    image_augmentation: ImageAugmentation | None = None
    cutmix: CutMix | None = None
    many_classes: ManyClasses | None = None
    teacher: Teacher | None = None
    resize: Literal["", "bilinear"] = ""

    @property
    def hash(self) -> str:
        """Content hash, 12 hexadecimal digits: equal exactly where every field is equal.

        Fields at their default stay out of it, so that a field added later leaves the hash of older protocols alone. A
        default must therefore never change: `tests/golden/protocols.json` holds every field of every version.
        """
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def schedule_of(self, dataset: str, ipc: int | None, num_classes: int) -> Schedule:
        """Return the schedule for a data set name and number of images per class, None for the whole real set."""
        if ipc is None:
            return self.real_schedule
        chosen = self.schedule_for.get(dataset, self.schedule)
        return chosen if isinstance(chosen, Schedule) else chosen.schedule(ipc, num_classes)

    def augmentation_of(self, info: DatasetInfo) -> str:
        """Return the DSA strategy for a data set; empty for none."""
        usual = self.augmentation if info.may_be_mirrored else without_flip(self.augmentation)
        return self.augmentation_for.get(info.name, usual)

    def for_classes(self, num_classes: int) -> Protocol:
        """Return the protocol with the constants that hold for so many classes."""
        many = self.many_classes
        if many is None or num_classes <= many.more_than:
            return self
        return self.model_copy(update=many.model_dump(exclude={"more_than"}))

    def with_options(self, pairs: Sequence[str]) -> Protocol:
        """Return the protocol that a name with options is, such as `soft-label,teacher=FILE`: another teacher.

        It is another protocol, whose name and hash follow from the teachers, see `ddbench.pretrained.options`.

        Args:
            pairs: what follows the name, each `key=value`.

        Raises:
            BadInputError: options that it does not take, or a file that cannot be read.
            DataMissingError: published weights that are not on this machine.
        """
        from ddbench.pretrained.options import choose_teachers

        if self.teacher is None:
            raise BadInputError(f"protocol {self.name} takes no options, got {pairs[0]!r}; soft-label takes some")
        teacher, words = choose_teachers(self.teacher, self.name, pairs)
        return self.model_copy(update={"name": ",".join([self.name, *words]), "teacher": teacher})
