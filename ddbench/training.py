"""The student trainer: the hot loop of every accuracy number.

Images stay on the device as they are stored (uint8 or float32) and are normalised per batch. There is no DataLoader
and nothing in an epoch waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.augment.dsa import dsa_augment
from ddbench.augment.zca import whiten
from ddbench.errors import DDBenchError
from ddbench.method import Tracker, untracked
from ddbench.network import Network
from ddbench.protocol import Protocol, Schedule
from ddbench.records import DatasetInfo, DistilledDataset, LabeledImages, Whitening


class StudentDivergedError(DDBenchError):
    """A student's parameters are no longer finite."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Images and labels on the device they are trained on.

    `images` (M, C, H, W) are uint8 pixels, normalised when a batch is taken, or float32 already normalised or whitened;
    `labels` are (M,) int64 or (M, K) float32.
    """

    images: Tensor
    labels: Tensor
    info: DatasetInfo

    @classmethod
    def of(cls, distilled: DistilledDataset, info: DatasetInfo, device: torch.device) -> TrainingSet:
        """Bring a distilled set into the students' space, on `device`: whitened for a `zca` set, else normalised."""
        images = distilled.images.to(device)
        if distilled.space == "pixels" and images.is_floating_point():
            images = info.normalise(images)
        return cls(images, distilled.labels.to(device), info)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 images in the students' space and labels at `indices`, on the device."""
        images = self.images[indices]
        if images.dtype == torch.uint8:
            mean, std = self._mean_and_std
            images = images.float().div(255).sub(mean).div(std)
        return images, self.labels[indices]

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        # `info.normalise` makes these from Python numbers at every call, a copy that waits for the device.
        mean, std = (torch.tensor(c, device=self.images.device) for c in (self.info.mean, self.info.std))
        return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)


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

    @classmethod
    def of(
        cls, protocol: Protocol, info: DatasetInfo, *, is_full_real: bool = False, student_lr: float | None = None
    ) -> TrainingPlan:
        """Return what a protocol says for one data set; a learned `student_lr` takes the place of its rate."""
        return cls(
            schedule=protocol.schedule_of(info.name, is_full_real=is_full_real),
            lr=protocol.lr if student_lr is None else student_lr,
            batch_size=protocol.batch_size,
            augmentation=protocol.augmentation_of(info.name),
            momentum=protocol.momentum,
            weight_decay=protocol.weight_decay,
            lr_drop=protocol.lr_drop,
            resets_momentum=protocol.resets_momentum,
        )


def train_student(
    network: Network,
    data: TrainingSet,
    plan: TrainingPlan,
    generator: torch.Generator,
    track: Tracker = untracked,
) -> None:
    """Train `network` in place, from wherever it stands to the last epoch.

    Args:
        network: on the device of `data`.
        data: what to train on.
        plan: schedule, SGD constants, augmentation.
        generator: CPU generator for the order of images and the augmentation.
        track: shows progress over the epochs.

    Raises:
        StudentDivergedError: parameters are not finite at the end.
    """
    network.train()
    optimiser = _make_optimiser(network, plan, plan.lr)
    for epoch in track(range(plan.schedule.epochs), "training"):
        if epoch == plan.schedule.drop_at:
            optimiser = _drop_lr(network, optimiser, plan)
        order = torch.randperm(len(data.images), generator=generator).to(data.images.device, non_blocking=True)
        for indices in order.split(plan.batch_size):
            images, labels = data.batch(indices)
            if plan.augmentation:
                images = dsa_augment(images, generator, plan.augmentation)
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(network(images), labels).backward()
            optimiser.step()
    if not all(parameter.isfinite().all() for parameter in network.parameters()):
        raise StudentDivergedError(
            f"a student's parameters are not finite after {plan.schedule.epochs} epochs at lr {plan.lr}; "
            "look at the distilled images' range and at student_lr"
        )


@torch.no_grad()
def measure_accuracy(
    network: Network, images: LabeledImages, device: torch.device, whitening: Whitening | None = None
) -> float:
    """Return the fraction of `images` that `network`, in evaluation mode, classifies rightly.

    They are whitened where the network was trained on whitened images, else normalised.
    """
    logits = forward_in_chunks(network, images, device, whitening)
    return int((logits.argmax(1).cpu() == images.labels).sum()) / len(images)


@torch.no_grad()
def forward_in_chunks(
    network: Network,
    images: LabeledImages,
    device: torch.device,
    whitening: Whitening | None = None,
    *,
    embed: bool = False,
) -> Tensor:
    """Return logits (N, K), or embeddings (N, D) where `embed`, of all images, on `device`; no augmentation.

    The network sees the images whitened where a `whitening` is given, else normalised.
    """
    network.eval()
    function = network.embed if embed else network
    constants = None if whitening is None else whitening.to(device)

    def take(chunk: Tensor) -> Tensor:
        if constants is None:
            return images.normalised(chunk, device)
        return whiten(images.pixels(chunk).to(device, non_blocking=True), constants)

    chunks = torch.arange(len(images)).split(chunk_size(device))
    return torch.cat([function(channels_last(take(chunk))) for chunk in chunks])


def chunk_size(device: torch.device) -> int:
    """Images per forward pass without gradient: on a CPU small enough that activations stay in its cache.

    Convnet-d3 on 3x32x32, two cores: 256 images take 245 ms at once and 134 ms in chunks of 32.
    """
    return 1024 if device.type == "cuda" else 32


def channels_last(images: Tensor) -> Tensor:
    """Return (B, C, H, W) images in channels-last memory, which convolutions on a CPU read faster."""
    return images.contiguous(memory_format=torch.channels_last)


def _make_optimiser(network: Network, plan: TrainingPlan, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(
        network.parameters(), lr=lr, momentum=plan.momentum, weight_decay=plan.weight_decay, foreach=True
    )


def _drop_lr(network: Network, optimiser: torch.optim.SGD, plan: TrainingPlan) -> torch.optim.SGD:
    if plan.resets_momentum:
        return _make_optimiser(network, plan, plan.lr * plan.lr_drop)
    groups: list[dict[str, Any]] = optimiser.param_groups
    for group in groups:
        group["lr"] = plan.lr * plan.lr_drop
    return optimiser
