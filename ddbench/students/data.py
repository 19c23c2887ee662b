"""What networks are trained on: images on the device, or too many for it and read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import DatasetInfo, ImageSource, LabeledImages
from ddbench.students.decoding import FILL, decode_images, decode_labels

FEW_VALUES = 16 * 2**20  # normalised once and not in every epoch: 64 MiB in float32, 5,000 images of 3x32x32


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Images and labels to train on.

    Attributes:
        images: (M, C, H, W), on the device: uint8 pixels, which batches have normalised, or float32 already
            normalised or whitened. Without content, on the device `meta`, where there is a `source`.
        labels: (M,) int64 or (M, K) float32, on the device.
        info: mean and std.
        source: gives uint8 pixels that are not held in memory, such as files.
    """

    images: Tensor
    labels: Tensor
    info: DatasetInfo
    source: ImageSource | None = None

    @classmethod
    def of(
        cls, distilled: DistilledDataset, info: DatasetInfo, device: torch.device, train: LabeledImages | None = None
    ) -> TrainingSet:
        """Bring a distilled set into the students' space, on `device`: whitened for a `zca` set, else normalised.

        Images that hold several smaller ones are taken apart. `train` is the real training split, whose images a
        streamed set stands for.
        """
        if distilled.is_streamed:
            if train is None:
                raise RuntimeError("a streamed set needs the real training split that it stands for")
            return cls.of_real(train, device)
        images, labels = distilled.images.to(device), distilled.labels.to(device)
        images = images.float() if images.dtype == torch.float16 else images
        labels = labels.float() if labels.is_floating_point() else labels
        factor = distilled.decode_factor
        if distilled.space == "pixels" and (factor > 1 or images.is_floating_point()):
            images = info.normalise(images)
        if factor > 1:
            fill = info.normalise(torch.full((1, info.channels, 1, 1), FILL, device=device)).flatten()
            images, labels = decode_images(images, factor, fill), decode_labels(labels, factor)
        return cls(images, labels, info)

    @classmethod
    def of_real(cls, train: LabeledImages, device: torch.device) -> TrainingSet:
        """Return real images: on the device where they are held in memory, read batch by batch where they are not."""
        labels = train.labels.to(device)
        if isinstance(train.images, Tensor):
            return cls(train.images.to(device), labels, train.info)
        stand_in = torch.empty(train.images.shape, dtype=torch.uint8, device="meta")
        return cls(stand_in, labels, train.info, train.images)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self.labels.device

    def first(self, count: int) -> TrainingSet:
        """Return the first `count` images, on the device."""
        few = torch.arange(min(count, len(self)))
        images = self.images[few] if self.source is None else self.source[few].to(self.device)
        return TrainingSet(images, self.labels[few], self.info)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images in the students' space and labels, on the device, in the order of (M,) host indices.

        Where images are read batch by batch, the next batch is read while the last one is used.
        """
        if self.source is None:
            for indices in order.to(self.device, non_blocking=True).split(batch_size):
                yield self.batch(indices)
            return
        source, parts = self.source, order.split(batch_size)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(source.__getitem__, parts[0])
            for indices, following in zip(parts, (*parts[1:], None), strict=True):
                pixels = ahead.result()
                if following is not None:
                    ahead = reader.submit(source.__getitem__, following)
                yield self._batch_of(pixels.to(self.device, non_blocking=True), indices)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 images in the students' space and labels at (B,) `indices` of any device, on the set's own."""
        if self.source is not None:
            return self._batch_of(self.source[indices.cpu()].to(self.device, non_blocking=True), indices)
        indices = indices.to(self.device, non_blocking=True)
        return self._batch_of(self._held[indices], indices)

    def to_pixels(self, images: Tensor) -> Tensor:
        """Undo the normalisation of (B, C, H, W) images: float pixels, not clipped to [0, 1]."""
        return self.info.to_pixels(images)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Remove mean and std of (B, C, H, W) float pixels."""
        return self.info.normalise(pixels)

    def _batch_of(self, images: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self._in_space(images), self.labels[indices.to(self.device, non_blocking=True)]

    def _in_space(self, images: Tensor) -> Tensor:
        return self.normalise(images) if images.dtype == torch.uint8 else images

    @cached_property
    def _held(self) -> Tensor:
        """The images on the device: few of them in the students' space already, many as they are stored."""
        return self._in_space(self.images) if self.images.numel() <= FEW_VALUES else self.images
