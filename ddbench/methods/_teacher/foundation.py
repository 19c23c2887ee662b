"""The teacher of a method: a network trained on the real training split once, for every seed, IPC and such method."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import save_file

from ddbench.augment.strategies import without_flip
from ddbench.errors import DivergenceError
from ddbench.host.files import load_tensors
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import Foundation, Method, RunContext
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import StudentDivergedError, TrainingPlan
from ddbench.students.trainer import train_network
from ddbench.training_recipe import ImageAugmentation
from ddbench.work import TRAINING, Passes

PARAMETERS_FILE = "teacher.safetensors"
AUGMENTATION = "crop_flip"  # one of the two for each batch
LEAST_CROPPED = 64  # px


@dataclass(frozen=True)
class TeacherConfig:
    """Which network, and how it is trained: ours, because the papers' teachers are downloads; 0.1 of the rate at 2/3.

    The papers have ResNet-18 with batch norm and, up to 64 px, a stem for small images. Colour images from 64 px on are
    cropped as torchvision's teachers see them, others shifted or mirrored.
    """

    teacher_network: str = "resnet18-bn"
    teacher_epochs: Annotated[int, Field(gt=0)] = 60
    teacher_lr: Annotated[float, Field(gt=0)] = 0.1
    teacher_batch_size: Annotated[int, Field(gt=0)] = 128


class TeacherMethod(Method):
    """A method that has a teacher."""

    Config = TeacherConfig
    smoke_settings: ClassVar[dict[str, Any]] = {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 1}

    def foundation(self) -> Foundation:
        """Return the training of the teacher."""
        return teacher_foundation(self.config)

    def training(self, train: LabeledImages) -> Passes:
        """Return the work of the teacher's training."""
        config = self.config
        batch_size = min(config.teacher_batch_size, len(train))
        return Passes(config.teacher_network, config.teacher_epochs * len(train), batch_size, TRAINING)


def teacher_foundation(config: TeacherConfig) -> Foundation:
    """Return the training of a teacher, known by the fields of `TeacherConfig`, the data set and this code."""
    settings = {field.name: getattr(config, field.name) for field in fields(TeacherConfig)}

    def fill(train: LabeledImages, ctx: RunContext) -> Path:
        network = make_network(config.teacher_network, InputShape.of(train.info), ctx.generator).to(ctx.device)
        plan = TrainingPlan(
            schedule=Schedule.with_late_drop(config.teacher_epochs),
            lr=config.teacher_lr,
            batch_size=config.teacher_batch_size,
            **_augmentation(train.info),
        )
        try:
            train_network(network, train, plan, ctx.generator, ctx.track)
        except StudentDivergedError as error:
            found = f"the teacher {config.teacher_network} diverged, its parameters are not finite"
            raise DivergenceError(f"{found}; lower teacher_lr, which is {config.teacher_lr:g}") from error
        parameters = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(parameters, ctx.cache_dir / PARAMETERS_FILE)
        return ctx.cache_dir

    return Foundation("teacher", settings, fill)


def _augmentation(info: DatasetInfo) -> dict[str, Any]:
    """Return the fields of a training plan that say how its images are augmented."""
    if info.channels == 3 and info.image_size >= LEAST_CROPPED:
        crops = ImageAugmentation(crop_area=(0.08, 1.0), flip=0.5 * info.may_be_mirrored, jitter=0.0, lighting=0.0)
        return {"augmentation": "", "image_augmentation": crops}
    return {"augmentation": AUGMENTATION if info.may_be_mirrored else without_flip(AUGMENTATION)}


def load_teacher(config: TeacherConfig, train: LabeledImages, ctx: RunContext) -> Network:
    """Return the teacher in evaluation mode, without gradients of its parameters, on the device."""
    if ctx.foundation is None:
        raise RuntimeError("the teacher is a foundation; run the method through distill() or the runner")
    network = make_network(config.teacher_network, InputShape.of(train.info), torch.Generator())
    network.load_state_dict(
        load_tensors(ctx.foundation / PARAMETERS_FILE, "remove the folder, and it is trained again")
    )
    return network.to(ctx.device).eval().requires_grad_(False)
