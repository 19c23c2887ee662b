"""What methods share that recover one image of each class at a time from a teacher with batch norm, as SRe2L does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.chunks import even_size
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import RunContext
from ddbench.methods._teacher.choice import TeacherChoice, TeacherChoiceMethod
from ddbench.methods._teacher.recipes import recipe_for
from ddbench.methods._teacher.recovery import cosine_rate
from ddbench.methods._teacher.views import enlarged, rolled
from ddbench.network import InputShape, make_network
from ddbench.work import TRAINING, MethodWork, Passes, PhaseWork

LEAST_AREA = 0.08
CropSchedule = Literal["none", "constant", "curriculum"]


@dataclass(frozen=True)
class Recipe:
    """What authors have for images of one size: steps, rate, weight of the statistics, most pixels rolled, crop."""

    steps: int
    lr: float
    statistics_weight: float
    roll: int
    crop_schedule: CropSchedule


def least_area(schedule: CropSchedule, step: int, steps: int) -> float:
    """Return the least part of an image's area that a crop of a step keeps: of CDA from 1 down to 0.08."""
    fall = cosine_rate(1.0, step, steps) if schedule == "curriculum" else 0.0
    return LEAST_AREA + (1 - LEAST_AREA) * fall


def augment(images: Tensor, info: DatasetInfo, recipe: Recipe, step: int, generator: torch.Generator) -> Tensor:
    """Return (B, C, S, S) images cropped, mirrored and rolled, all of them alike."""
    if recipe.crop_schedule != "none":
        images = enlarged(images, info, least_area(recipe.crop_schedule, step, recipe.steps), generator)
    return rolled(images, recipe.roll, generator)


class ClassRecoveryMethod(TeacherChoiceMethod):
    """`ipc` images of each class, one of each class at a time.

    Attributes:
        recipes: by the largest side of images, in pixels and rising, what the authors have for them.
    """

    smoke_settings: ClassVar[dict[str, Any]] = {**TeacherChoiceMethod.smoke_settings, "steps": 3}
    recipes: ClassVar[Mapping[int, Recipe]]

    @dataclass(frozen=True)
    class Config(TeacherChoice):
        """Settings of recovering; None is what the authors have for images of that size, see the method's recipes.

        `roll` is the most pixels that images are rolled by.
        """

        steps: Annotated[int, Field(gt=0)] | None = None
        lr: Annotated[float, Field(gt=0)] | None = None
        statistics_weight: Annotated[float, Field(ge=0)] | None = None
        roll: Annotated[int, Field(ge=0)] | None = None
        crop_schedule: CropSchedule | None = None

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the authors' recipe for the images' size, with what the settings say."""
        return recipe_for(self.recipes, info, self.config)

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where the teacher has no batch norm, whose statistics are matched; any IPC can be made."""
        if reason := self.teacher_unsupported(train):
            return reason
        name = self.config.network
        network = make_network(name, InputShape.of(train.info), torch.Generator())
        has_statistics = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        return None if has_statistics else f"teacher {name} has no batch norm of maps; name one that has it"

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the teacher's training, and a pass forward and back for every step of every image."""
        images = train.num_classes * ipc
        at_once = len(self.batches(train, ipc)[0])
        recovering = Passes(self.config.network, images * self.steps_of(train.info), at_once, TRAINING)
        held = images * train.info.channels * train.info.image_size**2  # a byte each
        return MethodWork(PhaseWork((recovering,), held_bytes=2 * held), self.preparing(train))

    def classes_at_once(self, info: DatasetInfo) -> int:
        """Return the most classes whose images are recovered together."""
        at_once: int = self.config.classes_at_once
        return at_once

    def batches(self, train: LabeledImages, ipc: int) -> list[Tensor]:
        """Return the (B,) int64 places of images that are recovered together, one of each class."""
        classes = torch.arange(train.num_classes).split(even_size(train.num_classes, self.classes_at_once(train.info)))
        return [own * ipc + index for index in range(ipc) for own in classes]

    def steps_of(self, info: DatasetInfo) -> int:
        """Return how often an image goes forward and back through the teacher."""
        return self.recipe(info).steps

    def made_set(self, images: Tensor, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return the set of (K * ipc, C, S, S) uint8 images, sorted by class."""
        labels = torch.arange(train.num_classes).repeat_interleave(ipc)
        provenance = self.teacher_provenance(ctx)
        return DistilledDataset(images, labels, train.num_classes, ipc, "pixels", provenance=provenance)
