"""Several teachers of a method, trained here or published: each kept by itself, shared with methods that have it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from ddbench.images import LabeledImages
from ddbench.method import ADDED, Foundation, Method, RunContext
from ddbench.methods._teacher.choice import (
    TRAINED,
    TeacherChoice,
    choice_foundation,
    choice_provenance,
    choice_unsupported,
    load_chosen,
    refuse_unused,
)
from ddbench.methods._teacher.foundation import TeacherConfig
from ddbench.network import InputShape, Network, make_network
from ddbench.work import TRAINING, Passes


@dataclass(frozen=True)
class TeachersConfig:
    """Which networks, each trained as `TeacherConfig` says, or which published weights; their order is that of use.

    Where `teachers` names weights, such as `torchvision/resnet18`, nothing is trained: see `TeacherChoice`.
    """

    teacher_networks: Annotated[tuple[str, ...], Field(min_length=1)] = ("resnet18-bn", "convnet-d3-bn")
    teacher_epochs: Annotated[int, Field(gt=0)] = TeacherConfig.teacher_epochs
    teacher_lr: Annotated[float, Field(gt=0)] = TeacherConfig.teacher_lr
    teacher_batch_size: Annotated[int, Field(gt=0)] = TeacherConfig.teacher_batch_size
    teachers: tuple[str, ...] = field(default=(), metadata=ADDED)

    def __post_init__(self) -> None:
        """Refuse names given twice, and weights that nobody publishes."""
        if TRAINED in self.teachers:
            raise ValueError(f"teachers names published weights, got {TRAINED}; name networks by teacher_networks")
        if self.teachers:
            refuse_unused(self, "teachers")
        named = [choice.given.weights if self.teachers else choice.network for choice in self.choices()]
        twice = [name for name in named if named.count(name) > 1]
        if twice:
            raise ValueError(f"teacher{'s' if self.teachers else '_networks'} names {twice[0]} twice; name each once")

    def choices(self) -> list[TeacherChoice]:
        """Return the settings of each teacher."""
        if self.teachers:
            return [TeacherChoice(teacher=name) for name in self.teachers]
        return [
            TeacherChoice(network, self.teacher_epochs, self.teacher_lr, self.teacher_batch_size)
            for network in self.teacher_networks
        ]

    @property
    def networks(self) -> list[str]:
        """Name of the network that each teacher is."""
        return [choice.network for choice in self.choices()]


class TeachersMethod(Method):
    """A method that has several teachers."""

    Config = TeachersConfig
    smoke_settings: ClassVar[dict[str, Any]] = {
        "teacher_networks": ["convnet-d1-w8-bn", "convnet-d1-w8"],
        "teacher_epochs": 1,
    }

    def foundations(self) -> tuple[Foundation, ...]:
        """Return the training of each teacher, or the reading of its weights."""
        return tuple(choice_foundation(choice) for choice in self.config.choices())

    def trainings(self, train: LabeledImages) -> tuple[Passes, ...]:
        """Return the work of each teacher's training; none of those that are given."""
        config, batch_size = self.config, min(self.config.teacher_batch_size, len(train))
        if config.teachers:
            return ()
        images = config.teacher_epochs * len(train)
        return tuple(Passes(network, images, batch_size, TRAINING) for network in config.networks)

    def teachers_unsupported(self, train: LabeledImages) -> str | None:
        """Return the reason where published weights are not here or do not fit the data set."""
        reasons = (choice_unsupported(choice, train) for choice in self.config.choices())
        return next((reason for reason in reasons if reason), None)

    def untrained(self, train: LabeledImages) -> dict[str, Network]:
        """Return the networks as they are before their training, by name: to look at their layers."""
        shape = InputShape.of(train.info)
        return {name: make_network(name, shape, torch.Generator()) for name in self.config.networks}

    def teachers_provenance(self, ctx: RunContext) -> dict[str, Any]:
        """Return what a set says of teachers with published weights: which, and the SHA-256 of each file."""
        pairs = zip(self.config.choices(), ctx.foundations, strict=True)
        found = [kept for choice, folder in pairs if (kept := choice_provenance(choice, folder))]
        return {"engine": {"teachers": found}} if found else {}


def load_teachers(config: TeachersConfig, train: LabeledImages, ctx: RunContext) -> list[Network]:
    """Return the teachers in evaluation mode, without gradients of their parameters, on the device."""
    choices = config.choices()
    if len(ctx.foundations) != len(choices):
        raise RuntimeError("the teachers are foundations; run the method through distill() or the runner")
    return [
        load_chosen(choice, train, replace(ctx, foundation=folder))
        for choice, folder in zip(choices, ctx.foundations, strict=True)
    ]
