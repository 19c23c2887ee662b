"""What a denoiser is trained on: the training images as its inputs, encoded once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ddbench.diffusion.codec import Codec
from ddbench.host.files import load_tensors
from ddbench.host.kept_files import is_kept_whole, save_kept
from ddbench.images import LabeledImages
from ddbench.method import Tracker

ENCODED_AT_ONCE = 16


class InputSource(Protocol):
    """Training images of some classes as inputs of a denoiser."""

    labels: Tensor

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        """Return inputs (B, C, H, W) float32 at `indices`, mirrored where `flips` (B,) bool, on the CPU.

        `noise` (B, C, H, W) draws from each image's distribution; None where images are no distributions.
        """


class PixelInputs:
    """Images of a split, encoded whenever they are taken.

    Args:
        images: the split.
        classes: the classes to take; `labels` are theirs, in the split's order.
        codec: one without randomness.
    """

    def __init__(self, images: LabeledImages, classes: Sequence[int], codec: Codec) -> None:
        self._images, self._codec = images, codec
        self._indices = torch.isin(images.labels, torch.tensor(classes)).nonzero()[:, 0]
        self.labels = images.labels[self._indices]

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        """Return the scaled pixels."""
        inputs, _ = self._codec.encode(self._images.pixels(self._indices[indices]))
        return torch.where(flips.view(-1, 1, 1, 1), inputs.flip(3), inputs)


class ChosenInputs:
    """Some of the inputs of a source.

    Args:
        inputs: the source.
        chosen: (n,) int64 places in it.
    """

    def __init__(self, inputs: InputSource, chosen: Tensor) -> None:
        self._inputs, self._chosen = inputs, chosen
        self.labels = inputs.labels[chosen]

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        """Return the source's inputs."""
        return self._inputs.take(self._chosen[indices], flips, noise)


class EncodedInputs:
    """Inputs encoded by `encode_classes`: mean and deviation of each image and of its mirror image.

    Args:
        folder: where they lie.
        classes: the classes to take.
    """

    def __init__(self, folder: Path, classes: Sequence[int]) -> None:
        parts = [load_tensors(_class_path(folder, label), "run it again to encode them again") for label in classes]
        self._means = torch.cat([part["means"] for part in parts])  # (N, 2, C, H, W): as it is, mirrored
        self._deviations = torch.cat([part["deviations"] for part in parts])
        counts = torch.tensor([len(part["means"]) for part in parts])
        self.labels = torch.tensor(classes).repeat_interleave(counts)

    def take(self, indices: Tensor, flips: Tensor, noise: Tensor | None) -> Tensor:
        """Return draws from the posteriors."""
        where = (indices, flips.long())
        means = self._means[where]
        return means if noise is None else means + self._deviations[where] * noise


def encode_classes(images: LabeledImages, codec: Codec, folder: Path, device: torch.device, track: Tracker) -> None:
    """Encode every image and its mirror image, one file per class; classes whose file is there are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [label for label in range(images.num_classes) if not is_kept_whole(_class_path(folder, label))]
    for label in track(missing, "encoding images"):
        means, deviations = [], []
        for indices in images.of_class(label).split(ENCODED_AT_ONCE):
            pixels = images.pixels(indices).to(device)
            both = [codec.encode(view) for view in (pixels, pixels.flip(3))]
            means.append(torch.stack([mean.cpu() for mean, _ in both], 1))
            deviations.append(torch.stack([deviation.cpu() for _, deviation in both], 1))
        save_kept({"means": torch.cat(means), "deviations": torch.cat(deviations)}, _class_path(folder, label))


def _class_path(folder: Path, label: int) -> Path:
    return folder / f"class-{label:04d}.safetensors"
