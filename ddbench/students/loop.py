"""The student trainer: the hot loop of every accuracy number.

Images stay on the device as they are stored (uint8 or float32) and are normalised per batch. There is no DataLoader
and nothing in an epoch waits for the device; real images too many to hold are read one batch ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from ddbench.augment.cutmix import draw_cutmix, mix_images, mix_labels
from ddbench.augment.dsa import dsa_augment
from ddbench.augment.imagenet import imagenet_augment
from ddbench.augment.mixup import mixup
from ddbench.augment.zca import whiten
from ddbench.engine.chunks import in_chunks
from ddbench.engine.passes import NetworkEngine, channels_last
from ddbench.errors import DivergenceError
from ddbench.images import DatasetInfo, LabeledImages, Whitening
from ddbench.inputs.values import as_choice, as_count, as_flag, as_kind, as_number, as_text
from ddbench.method import Resumable, Tracker, untracked
from ddbench.network import Network
from ddbench.protocol import Protocol, Schedule
from ddbench.students.data import TrainingSet
from ddbench.students.optimiser import WeightAverage, change_lr, make_optimiser, norms_moved_by
from ddbench.students.resuming import TrainingState
from ddbench.students.soft_labels import SoftLabels
from ddbench.training_recipe import BestOf, CutMix, ImageAugmentation, Mixup, Precision

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


class StudentDivergedError(DivergenceError):
    """A student's parameters are no longer finite."""


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained: a schedule and the optimiser's constants, and the augmentation of each batch.

    The fields are those of `ddbench.protocol.Protocol`.
    """

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
    optimiser: str = "sgd"
    decays: str = "all"
    average: float = 0.0
    accumulates: int = 1
    norm_passes: int = 1
    mixup: Mixup | None = None
    best_of: BestOf | None = None

    def check(self) -> None:
        """Raise BadInputError where a value is of another kind or out of range."""
        as_kind(self.schedule, Schedule, "schedule", "make it with Schedule(epochs=..., drop_at=...)")
        as_count(self.batch_size, "batch_size")
        for name in ("lr", "momentum", "weight_decay", "lr_drop"):
            as_number(getattr(self, name), name, 0)
        as_text(self.augmentation, "augmentation", may_be_empty=True)
        as_flag(self.resets_momentum, "resets_momentum")
        as_choice(self.precision, get_args(Precision), "precision")
        as_choice(self.optimiser, ("sgd", "adamw"), "optimiser")
        as_choice(self.decays, ("all", "weights"), "decays")
        as_number(self.average, "average", 0)
        as_count(self.accumulates, "accumulates")
        as_count(self.norm_passes, "norm_passes")
        parts: dict[str, type] = {
            "image_augmentation": ImageAugmentation,
            "cutmix": CutMix,
            "mixup": Mixup,
            "best_of": BestOf,
        }
        for name, kind in parts.items():
            if getattr(self, name) is not None:
                as_kind(getattr(self, name), kind, name, "or None for none")

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        info: DatasetInfo,
        ipc: int | None,
        *,
        network: str = "",
        student_lr: float | None = None,
    ) -> TrainingPlan:
        """Return what a protocol says for `ipc` images per class of a data set, None for all of them.

        It may say another rate for a `network`; a learned `student_lr` takes the place of either.
        """
        protocol = protocol.for_classes(info.num_classes)
        return cls(
            schedule=protocol.schedule_of(info.name, ipc, info.num_classes),
            lr=protocol.lr_for.get(network, protocol.lr) if student_lr is None else student_lr,
            batch_size=protocol.batch_size_of(info.name, ipc, info.num_classes),
            augmentation=protocol.augmentation_of(info),
            momentum=protocol.momentum,
            weight_decay=protocol.weight_decay,
            lr_drop=protocol.lr_drop,
            resets_momentum=protocol.resets_momentum,
            image_augmentation=protocol.image_augmentation_of(info),
            cutmix=protocol.cutmix,
            precision=protocol.precision,
            optimiser=protocol.optimiser,
            decays=protocol.decays,
            average=protocol.average,
            accumulates=protocol.accumulates,
            norm_passes=protocol.norm_passes,
            mixup=protocol.mixup,
            best_of=protocol.best_of,
        )

    @property
    def part(self) -> int | None:
        """Images of a batch that pass at once and have batch statistics of their own; None for all of them."""
        return None if self.accumulates == 1 else math.ceil(self.batch_size / self.accumulates)

    @property
    def tests(self) -> int:
        """How often a network is tested: after the last epoch, and after those of `best_of`."""
        epochs = self.schedule.epochs
        return 1 if self.best_of is None else sum(self.best_of.includes(epoch, epochs) for epoch in range(epochs))

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        lr = self.lr
        for _ in range(sum(drop <= epoch for drop in self.schedule.drops)):
            lr *= self.lr_drop
        return lr * self.schedule.curve_at(epoch)

    def epochs(
        self, track: Tracker, description: str, state: Resumable | None = None
    ) -> Iterator[tuple[int, float | None]]:
        """Yield every epoch and, before its first step, the rate that it changes to; None where it stays as it is."""
        for epoch in track(range(self.schedule.epochs), description, state):
            changes = self.schedule.drops_at(epoch) or self.schedule.curve != "drops"
            yield epoch, self.rate_at(epoch) if changes else None

    def diverged(
        self, whose: str, look_at: str = "look at the distilled images' range and at student_lr"
    ) -> StudentDivergedError:
        """Return the error of parameters that are not finite at the end; `whose` begins the sentence."""
        return StudentDivergedError(
            f"{whose} are not finite after {self.schedule.epochs} epochs at lr {self.lr}; {look_at}"
        )


def train_student(
    network: Network,
    data: TrainingSet,
    plan: TrainingPlan,
    generator: torch.Generator,
    track: Tracker = untracked,
    soft_labels: SoftLabels | None = None,
    engine: NetworkEngine | None = None,
    look: Callable[[Network], object] | None = None,
    state: TrainingState | None = None,
) -> None:
    """Train `network` in place, from wherever it stands to the last epoch.

    Args:
        network: on the device of `data`.
        data: what to train on.
        plan: schedule, the optimiser's constants, augmentation.
        generator: CPU generator for the order of images and the augmentation.
        track: shows progress over the epochs.
        soft_labels: give the labels of every augmented batch, in place of those of `data`.
        engine: passes networks of this structure in the plan's precision; eager and in whole batches where None.
        look: is shown the network after every epoch of the plan's `best_of`, with the weights that are tested.
        state: of this network and generator, with which `track` may resume the training.

    Raises:
        StudentDivergedError: parameters are not finite at the end.
    """
    network.train().to(memory_format=torch.channels_last)
    engine = engine or NetworkEngine(plan.precision)
    state = state or TrainingState(network, generator)
    state.optimiser = make_optimiser(network, plan, plan.lr)
    average = state.average = WeightAverage(network, plan.average) if plan.average else None
    with norms_moved_by(network, plan.norm_passes):
        for epoch, lr in plan.epochs(track, "training", state):
            if lr is not None:
                state.optimiser = change_lr(network, state.optimiser, plan, lr)
            _train_epoch(network, data, plan, state.optimiser, generator, soft_labels, engine, average)
            if look is not None and plan.best_of is not None and plan.best_of.includes(epoch, plan.schedule.epochs):
                with average.in_place() if average is not None else nullcontext():
                    look(network)
                network.train()
    if average is not None:
        average.keep()
    if not all(parameter.isfinite().all() for parameter in network.parameters()):
        raise plan.diverged("a student's parameters")


def _train_epoch(
    network: Network,
    data: TrainingSet,
    plan: TrainingPlan,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    soft_labels: SoftLabels | None,
    engine: NetworkEngine,
    average: WeightAverage | None,
) -> None:
    passed = engine.form_of(network)
    order = torch.randperm(len(data), generator=generator)
    for images, own in data.batches(order, plan.batch_size):
        images, labels = _augment(images, own, data, plan, generator)
        optimiser.zero_grad(set_to_none=True)
        if soft_labels is None:
            engine.backward(passed, images, labels)
        else:
            engine.backward(passed, images, (soft_labels.targets(images), own), soft_labels.loss)
        optimiser.step()
        if average is not None:
            average.update()


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
    if plan.mixup is not None:
        images, labels = mixup(images, labels, data.info.num_classes, plan.mixup, generator)
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
