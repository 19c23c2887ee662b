"""The student trainer: the hot loop of every accuracy number.

Images stay on the device as they are stored (uint8 or float32) and are normalised per batch. There is no DataLoader
and nothing in an epoch waits for the device; real images too many to hold are read one batch ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from ddbench.augment.cutmix import draw_cutmix, mix_images, mix_labels
from ddbench.augment.dsa import dsa_augment
from ddbench.augment.imagenet import imagenet_augment
from ddbench.augment.zca import whiten
from ddbench.engine.chunks import in_chunks
from ddbench.engine.passes import NetworkEngine, channels_last
from ddbench.errors import DDBenchError
from ddbench.inputs.values import as_choice, as_count, as_flag, as_kind, as_number, as_text
from ddbench.method import Tracker, untracked
from ddbench.network import Network
from ddbench.protocol import Protocol, Schedule
from ddbench.records import DatasetInfo, LabeledImages, Whitening
from ddbench.students.data import TrainingSet
from ddbench.students.soft_labels import SoftLabels
from ddbench.training_recipe import CutMix, ImageAugmentation, Precision

__all__ = [
    "StudentDivergedError",
    "TrainingPlan",
    "TrainingSet",
    "channels_last",
    "chunk_size",
    "forward_in_chunks",
    "measure_accuracy",
    "train_student",
]


class StudentDivergedError(DDBenchError):
    """A student's parameters are no longer finite."""


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained: a schedule and the constants of SGD, and the augmentation of each batch."""

    schedule: Schedule
    lr: float
    batch_size: int
    augmentation: str
    momentum: float = 0.9
    weight_decay: float = 5e-4
    lr_drop: float = 0.1
    resets_momentum: bool = True
    image_augmentation: ImageAugmentation | None = None
    cutmix: CutMix | None = None
    precision: Precision = "fp32"

    def check(self) -> None:
        """Raise BadInputError where a value is of another kind or out of range."""
        as_kind(self.schedule, Schedule, "schedule", "make it with Schedule(epochs=..., drop_at=...)")
        as_count(self.batch_size, "batch_size")
        for name in ("lr", "momentum", "weight_decay", "lr_drop"):
            as_number(getattr(self, name), name, 0)
        as_text(self.augmentation, "augmentation", may_be_empty=True)
        as_flag(self.resets_momentum, "resets_momentum")
        as_choice(self.precision, get_args(Precision), "precision")
        for name, kind in (("image_augmentation", ImageAugmentation), ("cutmix", CutMix)):
            if getattr(self, name) is not None:
                as_kind(getattr(self, name), kind, name, "or None for none")

    @classmethod
    def of(
        cls, protocol: Protocol, info: DatasetInfo, ipc: int | None, *, student_lr: float | None = None
    ) -> TrainingPlan:
        """Return what a protocol says for `ipc` images per class of a data set, None for all of them.

        A learned `student_lr` takes the place of the protocol's rate.
        """
        protocol = protocol.for_classes(info.num_classes)
        return cls(
            schedule=protocol.schedule_of(info.name, ipc, info.num_classes),
            lr=protocol.lr if student_lr is None else student_lr,
            batch_size=protocol.batch_size,
            augmentation=protocol.augmentation_of(info),
            momentum=protocol.momentum,
            weight_decay=protocol.weight_decay,
            lr_drop=protocol.lr_drop,
            resets_momentum=protocol.resets_momentum,
            image_augmentation=protocol.image_augmentation,
            cutmix=protocol.cutmix,
            precision=protocol.precision,
        )

    def epochs(self, track: Tracker, description: str) -> Iterator[float | None]:
        """Yield for every epoch, before its first step, the rate that it drops to; None where it stays as it is."""
        lr = self.lr
        for epoch in track(range(self.schedule.epochs), description):
            drops = self.schedule.drops_at(epoch)
            for _ in range(drops):
                lr *= self.lr_drop
            yield lr if drops else None

    def diverged(self, whose: str) -> StudentDivergedError:
        """Return the error of parameters that are not finite at the end; `whose` begins the sentence."""
        return StudentDivergedError(
            f"{whose} are not finite after {self.schedule.epochs} epochs at lr {self.lr}; look at the distilled "
            "images' range and at student_lr"
        )


def train_student(
    network: Network,
    data: TrainingSet,
    plan: TrainingPlan,
    generator: torch.Generator,
    track: Tracker = untracked,
    soft_labels: SoftLabels | None = None,
    engine: NetworkEngine | None = None,
) -> None:
    """Train `network` in place, from wherever it stands to the last epoch.

    Args:
        network: on the device of `data`.
        data: what to train on.
        plan: schedule, SGD constants, augmentation.
        generator: CPU generator for the order of images and the augmentation.
        track: shows progress over the epochs.
        soft_labels: give the labels of every augmented batch, in place of those of `data`.
        engine: passes networks of this structure in the plan's precision; eager and in whole batches where None.

    Raises:
        StudentDivergedError: parameters are not finite at the end.
    """
    network.train().to(memory_format=torch.channels_last)
    engine = engine or NetworkEngine(plan.precision)
    passed = engine.form_of(network)
    optimiser = _make_optimiser(network, plan, plan.lr)
    for dropped_to in plan.epochs(track, "training"):
        if dropped_to is not None:
            optimiser = _drop_lr(network, optimiser, plan, dropped_to)
        order = torch.randperm(len(data), generator=generator)
        for images, labels in data.batches(order, plan.batch_size):
            images, labels = _augment(images, labels, data, plan, generator)
            optimiser.zero_grad(set_to_none=True)
            if soft_labels is None:
                engine.backward(passed, images, labels)
            else:
                engine.backward(passed, images, soft_labels.targets(images), soft_labels.loss)
            optimiser.step()
    if not all(parameter.isfinite().all() for parameter in network.parameters()):
        raise plan.diverged("a student's parameters")


def _augment(
    images: Tensor, labels: Tensor, data: TrainingSet, plan: TrainingPlan, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch as the network is to see it; labels become distributions where images are mixed."""
    if plan.augmentation:
        images = dsa_augment(images, generator, plan.augmentation)
    if plan.image_augmentation is not None:
        images = data.normalise(imagenet_augment(data.to_pixels(images), generator, plan.image_augmentation))
    if plan.cutmix is not None:
        draw = draw_cutmix(generator, plan.cutmix, len(images), images.shape[-1])
        if draw is not None:
            images, labels = mix_images(images, draw), mix_labels(labels, data.info.num_classes, draw)
    return images, labels


@torch.no_grad()
def measure_accuracy(
    network: Network,
    images: LabeledImages,
    device: torch.device,
    whitening: Whitening | None = None,
    engine: NetworkEngine | None = None,
) -> float:
    """Return the fraction of `images` that `network`, in evaluation mode, classifies correctly.

    They are whitened where the network was trained on whitened images, else normalised. `engine` passes networks of
    this structure, in its precision; eager and in float32 where None.
    """
    logits = forward_in_chunks(network, images, device, whitening, engine=engine)
    return int((logits.argmax(1).cpu() == images.labels).sum()) / len(images)


@torch.no_grad()
def forward_in_chunks(
    network: Network,
    images: LabeledImages,
    device: torch.device,
    whitening: Whitening | None = None,
    *,
    embed: bool = False,
    engine: NetworkEngine | None = None,
) -> Tensor:
    """Return logits (N, K), or embeddings (N, D) where `embed`, of all images, on `device`; no augmentation.

    The network sees the images whitened where a `whitening` is given, else normalised. `engine` gives logits.
    """
    network.eval()
    engine = engine or NetworkEngine()
    passed = engine.form_of(network)
    constants = None if whitening is None else whitening.to(device)

    def run(chunk: Tensor) -> Tensor:
        if constants is None:
            taken = images.normalised(chunk, device)
        else:
            taken = whiten(images.pixels(chunk).to(device, non_blocking=True), constants)
        return passed.embed(channels_last(taken)) if embed else engine.logits(passed, channels_last(taken))

    return torch.cat(in_chunks("test_chunk", run, torch.arange(len(images)), chunk_size(device, engine.precision)))


def chunk_size(device: torch.device, precision: Precision = "fp32") -> int:
    """Images per forward pass without gradient: on a CPU small enough that activations stay in its cache.

    Convnet-d3 on 3x32x32, two cores: 256 images take 245 ms at once and 134 ms in chunks of 32.
    """
    return 1024 if device.type == "cuda" else 64 if precision == "bf16" else 32


def _make_optimiser(network: Network, plan: TrainingPlan, lr: float) -> torch.optim.SGD:
    parameters = list(network.parameters())
    has_fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    return torch.optim.SGD(
        parameters,
        lr=lr,
        momentum=plan.momentum,
        weight_decay=plan.weight_decay,
        fused=has_fused,
        foreach=not has_fused,
    )


def _drop_lr(network: Network, optimiser: torch.optim.SGD, plan: TrainingPlan, lr: float) -> torch.optim.SGD:
    if plan.resets_momentum:
        return _make_optimiser(network, plan, lr)
    groups: list[dict[str, Any]] = optimiser.param_groups
    for group in groups:
        group["lr"] = lr
    return optimiser
