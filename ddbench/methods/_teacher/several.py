"""Several teachers of a method: each is trained and kept by itself, and shared with methods that have it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from ddbench.method import Foundation, Method, RunContext
from ddbench.methods._teacher.foundation import TeacherConfig, load_teacher, teacher_foundation
from ddbench.network import InputShape, Network, make_network
from ddbench.records import LabeledImages
from ddbench.work import TRAINING, Passes


@dataclass(frozen=True)
class TeachersConfig:
    """Which networks, each trained as `TeacherConfig` says; their order is that of use."""

    teacher_networks: Annotated[tuple[str, ...], Field(min_length=1)] = ("resnet18-bn", "convnet-d3-bn")
    teacher_epochs: Annotated[int, Field(gt=0)] = TeacherConfig.teacher_epochs
    teacher_lr: Annotated[float, Field(gt=0)] = TeacherConfig.teacher_lr
    teacher_batch_size: Annotated[int, Field(gt=0)] = TeacherConfig.teacher_batch_size

    def __post_init__(self) -> None:
        twice = [name for name in self.teacher_networks if self.teacher_networks.count(name) > 1]
        if twice:
            raise ValueError(f"teacher_networks names {twice[0]} twice; name each once")

    def teachers(self) -> list[TeacherConfig]:
        """Return the settings of each teacher."""
        return [
            TeacherConfig(network, self.teacher_epochs, self.teacher_lr, self.teacher_batch_size)
            for network in self.teacher_networks
        ]


class TeachersMethod(Method):
    """A method that has several teachers."""

    Config = TeachersConfig
    smoke_settings: ClassVar[dict[str, Any]] = {
        "teacher_networks": ["convnet-d1-w8-bn", "convnet-d1-w8"],
        "teacher_epochs": 1,
    }

    def foundations(self) -> tuple[Foundation, ...]:
        """Return the training of each teacher."""
        return tuple(teacher_foundation(teacher) for teacher in self.config.teachers())

    def trainings(self, train: LabeledImages) -> tuple[Passes, ...]:
        """Return the work of each teacher's training."""
        config, batch_size = self.config, min(self.config.teacher_batch_size, len(train))
        images = config.teacher_epochs * len(train)
        return tuple(Passes(network, images, batch_size, TRAINING) for network in config.teacher_networks)

    def untrained(self, train: LabeledImages) -> dict[str, Network]:
        """Return the networks as they are before their training, by name: to look at their layers."""
        shape = InputShape.of(train.info)
        return {name: make_network(name, shape, torch.Generator()) for name in self.config.teacher_networks}


def load_teachers(config: TeachersConfig, train: LabeledImages, ctx: RunContext) -> list[Network]:
    """Return the teachers in evaluation mode, without gradients of their parameters, on the device."""
    if len(ctx.foundations) != len(config.teacher_networks):
        raise RuntimeError("the teachers are foundations; run the method through distill() or the runner")
    return [
        load_teacher(teacher, train, replace(ctx, foundation=folder))
        for teacher, folder in zip(config.teachers(), ctx.foundations, strict=True)
    ]
