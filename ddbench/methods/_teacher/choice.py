"""A method's teacher, trained here or with published weights; the foundation of the former is as it was before."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ddbench.errors import DDBenchError
from ddbench.images import LabeledImages
from ddbench.inputs.tensors import read_tensors
from ddbench.method import ADDED, Foundation, RunContext
from ddbench.methods._teacher.foundation import (
    PARAMETERS_FILE,
    TeacherConfig,
    TeacherMethod,
    load_teacher,
    teacher_foundation,
)
from ddbench.network import InputShape, Network, make_network
from ddbench.pretrained.loading import check_published, load_given, load_kept
from ddbench.pretrained.model_files import find_weights
from ddbench.pretrained.published import find_published
from ddbench.training_recipe import TeacherNetwork
from ddbench.work import PhaseWork

TRAINED = "trained"
DIGEST = "sha256"


@dataclass(frozen=True)
class TeacherChoice(TeacherConfig):
    """`trained`, as the other settings say, or the name of published weights, which have no use for those.

    Such as `torchvision/resnet18`, the papers' teacher for ImageNet, or `timm/NAME`: see `ddbench.pretrained`.
    """

    teacher: str = field(default=TRAINED, metadata=ADDED)

    def __post_init__(self) -> None:
        """Refuse what nobody publishes, and settings that have no use beside what is published."""
        if self.teacher != TRAINED:
            find_published(self.teacher)
            refuse_unused(self, "teacher")

    @property
    def network(self) -> str:
        """Name of the network that the teacher is."""
        return self.teacher_network if self.teacher == TRAINED else find_published(self.teacher).network

    @property
    def given(self) -> TeacherNetwork:
        """The network with published weights."""
        published = find_published(self.teacher)
        return TeacherNetwork(network=published.network, weights=published.name)


def refuse_unused(config: Any, setting: str) -> None:  # noqa: ANN401 - any frozen dataclass of settings
    """Raise ValueError where a setting of training a teacher differs from its default beside published weights."""
    of_training = [field for field in fields(config) if field.name.startswith("teacher_")]
    for used in of_training:
        if getattr(config, used.name) != used.default:
            raise ValueError(
                f"{used.name} has no use with published weights, which {setting} names; leave one of them out"
            )


class TeacherChoiceMethod(TeacherMethod):
    """A method that has a teacher, trained here or not."""

    Config = TeacherChoice

    def foundation(self) -> Foundation:
        """Return the training of the teacher, or the reading of its weights."""
        return choice_foundation(self.config)

    def preparing(self, train: LabeledImages) -> PhaseWork:
        """Return the work of training the teacher; none for one that is given."""
        return PhaseWork((self.training(train),)) if self.config.teacher == TRAINED else PhaseWork()

    def teacher_unsupported(self, train: LabeledImages) -> str | None:
        """Return the reason where published weights are not here or do not fit the data set."""
        return choice_unsupported(self.config, train)

    def load_teacher(self, train: LabeledImages, ctx: RunContext) -> Network:
        """Return the teacher in evaluation mode, without gradients of its parameters, on the device."""
        return load_chosen(self.config, train, ctx)

    def teacher_provenance(self, ctx: RunContext) -> dict[str, Any]:
        """Return what a set says of a teacher with published weights: which, and the SHA-256 of their file."""
        found = choice_provenance(self.config, ctx.foundation)
        return {"engine": {"teacher": found}} if found else {}


def choice_foundation(choice: TeacherChoice) -> Foundation:
    """Return the training of a teacher, or the reading of its weights."""
    return teacher_foundation(choice) if choice.teacher == TRAINED else published_foundation(choice)


def choice_unsupported(choice: TeacherChoice, train: LabeledImages) -> str | None:
    """Return the reason where a teacher's published weights are not here or do not fit the data set."""
    if choice.teacher == TRAINED:
        return None
    try:
        published = find_published(choice.teacher)
        check_published(published, train.info)
        find_weights(published)
        make_network(published.network, InputShape.of(train.info), torch.Generator())
    except DDBenchError as error:
        return str(error)
    return None


def load_chosen(choice: TeacherChoice, train: LabeledImages, ctx: RunContext) -> Network:
    """Return a teacher in evaluation mode, without gradients of its parameters, on the device."""
    if choice.teacher == TRAINED or ctx.foundation is None:
        return load_teacher(choice, train, ctx)
    tensors, _ = read_tensors(ctx.foundation / PARAMETERS_FILE, "teacher")
    network = load_kept(choice.given, tensors, train.info)
    return network.to(ctx.device).eval().requires_grad_(False)


def choice_provenance(choice: TeacherChoice, foundation: Path | None) -> dict[str, str]:
    """Return the name of published weights and the SHA-256 of their file; nothing for a teacher trained here."""
    if choice.teacher == TRAINED or foundation is None:
        return {}
    _, metadata = read_tensors(foundation / PARAMETERS_FILE, "teacher")
    return {"weights": choice.given.weights, DIGEST: metadata[DIGEST]}


def published_foundation(config: TeacherChoice) -> Foundation:
    """Return the reading of published weights for a data set, known by their name and their file's SHA-256."""
    given = config.given
    try:
        _, digest = find_weights(find_published(given.weights))
    except DDBenchError:  # what is missing or damaged is told by `teacher_unsupported`
        digest = ""
    given = given.model_copy(update={DIGEST: digest})

    def fill(train: LabeledImages, ctx: RunContext) -> Path:
        loaded = load_given(given, train.info)
        tensors = {name: value.clone().contiguous() for name, value in loaded.tensors.items()}
        save_file(tensors, ctx.cache_dir / PARAMETERS_FILE, {DIGEST: loaded.sha256})
        return ctx.cache_dir

    return Foundation("teacher", {"teacher": given.weights, DIGEST: digest}, fill)
