"""Evaluation protocols: frozen, named, versioned and hashed, so that two numbers are comparable or visibly not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, model_validator

from ddbench.augment.strategies import without_flip
from ddbench.errors import BadInputError
from ddbench.inputs.checked import Checked
from ddbench.registry import PROTOCOLS
from ddbench.training_recipe import (
    BatchByIpc,
    BestOf,
    CutMix,
    ImageAugmentation,
    ManyClasses,
    Mixup,
    Number,
    Positive,
    Precision,
    Schedule,
    ScheduleByIpc,
    SmallImages,
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
        optimiser: `sgd` with momentum, or `adamw` with betas 0.9 and 0.999, torch's.
        lr: learning rate; a distilled set's learned `student_lr` takes its place.
        lr_for: learning rates of named networks, in place of `lr`.
        lr_drop: factor on the rate at every drop.
        decays: which parameters decay: `all`, or `weights`, those named so that have more than one dimension.
        average: part of the average of weights over steps that stays at each; students are tested with the average.
        batch_size: images of a batch, the same for all sets or by IPC; `batch_size_for` overrides it by data set.
        accumulates: parts of a batch that pass one after the other, and each have statistics of their own.
        norm_passes: how often a batch moves batch norm's running statistics.
        resets_momentum: the optimiser is made anew at a drop, as in the DC family's reference code.
        augmentation: DSA strategy for each batch, empty for none; `flip` is left out for a data set that may not be
            mirrored. `augmentation_for` overrides it by data set, as it stands there.
        precision: of the students' passes, in training and testing: `bf16` by autocast, parameters staying float32;
            `tf32` on GPUs from Ampere on. cuDNN takes algorithms that repeat their bits under every protocol.
        reported: which epoch's accuracy counts. It is said here and hashed; no code asks for it, because
            `test_accuracy` is the last epoch's.
        best_of: tests of which the best is given too, as `test_accuracy_best`, as some papers print it.
        image_augmentation: crops, flips and colours of each image, after DSA where there is both.
        small_images: another one for small images.
        mirrors_all: whether its flips are for every data set, or left out for one that may not be mirrored.
        cutmix: mixes the images of a batch, and their labels, after the other augmentation.
        mixup: the same by weighted means, after `cutmix`.
        many_classes: other constants for data sets of many classes.
        resize: how sets whose images are larger than the data set's are brought to its size before anything else:
            `bilinear` (antialiased, as real images are scaled); empty for not at all, such sets are refused.
        test_margin: test images are scaled to (their side // 7) * 8 pixels and the middle is taken.
        teacher: gives the labels of every augmented batch, in place of the set's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: Whole = Field(ge=1)
    network: str
    schedule: Schedule | ScheduleByIpc
    schedule_for: Mapping[str, Schedule] = {}
    real_schedule: Schedule
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: Number = Field(default=0.01, ge=0)
    lr_for: Mapping[str, Annotated[Number, Field(ge=0)]] = {}
    lr_drop: Number = Field(default=0.1, ge=0)
    momentum: Number = Field(default=0.9, ge=0, lt=1)
    weight_decay: Number = Field(default=5e-4, ge=0)
    decays: Literal["all", "weights"] = "all"
    average: Number = Field(default=0.0, ge=0, lt=1)
    resets_momentum: StrictBool = True
    batch_size: Positive | BatchByIpc = 256
    batch_size_for: Mapping[str, Positive] = {}
    accumulates: Whole = Field(default=1, ge=1)
    norm_passes: Whole = Field(default=1, ge=1)
    augmentation: str = ""
    augmentation_for: Mapping[str, str] = {}
    precision: Precision = "fp32"
    reported: Literal["last epoch"] = "last epoch"
    best_of: BestOf | None = None
    image_augmentation: ImageAugmentation | None = None
    small_images: SmallImages | None = None
    mirrors_all: StrictBool = True
    cutmix: CutMix | None = None
    mixup: Mixup | None = None
    many_classes: ManyClasses | None = None
    test_margin: StrictBool = False
    teacher: Teacher | None = None
    resize: Literal["", "bilinear"] = ""

    @model_validator(mode="after")
    def _keeps_momentum_along_a_curve(self) -> Self:
        schedules = (self.schedule, self.real_schedule, *self.schedule_for.values())
        if self.resets_momentum and any(isinstance(each, Schedule) and each.curve != "drops" for each in schedules):
            raise ValueError("resets_momentum must be false where the rate follows a curve: it changes at every epoch")
        return self

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

    def image_augmentation_of(self, info: DatasetInfo) -> ImageAugmentation | None:
        """Return what is done to each image of a data set; None for nothing."""
        small = self.small_images
        found = small.image_augmentation if small and info.image_size <= small.up_to else self.image_augmentation
        if found is None or self.mirrors_all or info.may_be_mirrored:
            return found
        return found.model_copy(update={"flip": 0.0})

    def batch_size_of(self, dataset: str, ipc: int | None, num_classes: int) -> int:
        """Return the images of a batch for a data set name and number of images per class, None for the whole set."""
        chosen = self.batch_size_for.get(dataset, self.batch_size)
        return chosen if isinstance(chosen, int) else chosen.size(ipc, num_classes)

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
