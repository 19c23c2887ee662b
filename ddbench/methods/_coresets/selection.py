"""Real images drawn, and selected ones as a distilled set: what selection and the starts of learning methods share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages


class Chosen:
    """What was chosen of each class so far, and the generator: a `Resumable` state.

    Attributes:
        parts: of each class that is done, in order, such as the (ipc,) int64 indices of its images.
        generator: CPU generator from which every draw of the loop comes.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.parts: list[Tensor] = []
        self.generator = generator

    def save_state(self) -> dict[str, Tensor]:
        """Return the parts, which are of one shape, and the generator's state."""
        return {"generator": self.generator.get_state(), "parts": torch.stack(self.parts)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.generator.set_state(state["generator"])
        self.parts = [*state["parts"].unbind()]


def draw_real(train: LabeledImages, ipc: int, generator: torch.Generator) -> list[Tensor]:
    """Draw `ipc` distinct real images of each of K classes: (ipc,) int64 indices, smaller draws part of larger ones."""
    return [draw_distinct(train.of_class(label), ipc, generator) for label in range(train.num_classes)]


def draw_distinct(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw up to `count` distinct entries of `indices`, (count,) int64."""
    return indices[torch.randperm(len(indices), generator=generator)[:count]]


def select_real(train: LabeledImages, chosen: Sequence[Tensor], ipc: int) -> DistilledDataset:
    """Return the chosen images as they are stored.

    Args:
        train: the real training split.
        chosen: for each of K classes the (ipc,) int64 indices of its images.
        ipc: images per class.
    """
    indices = torch.cat(list(chosen))
    return DistilledDataset(
        images=train.pixels(indices),
        labels=train.labels[indices],
        num_classes=train.num_classes,
        ipc=ipc,
        space="pixels",
        provenance={"selected_indices": indices.tolist()},
    )
