"""The minimax criteria: generated samples near every real one, and apart from each other.

Paper: Gu, Vahidian, Kungurtsev, Wang, Jiang, You, Chen, "Efficient Dataset Distillation via Minimax Diffusion", CVPR
2024 (arXiv 2311.15529), equations 4 (representativeness) and 5 (diversity).
Checked against: vimar-gu/MinimaxDiffusion, train_dit.py: both act on the clean sample that a prediction implies.
Differs from it: entries are kept with unit length, and all classes of a batch are done at once; same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ChosenPairs:
    """For each sample of a batch its cosine to one memory entry, and whether its class chose that pair.

    Attributes:
        cosines: (B,), with gradient to the samples.
        chosen: (B,) bool, at most one true per class; none where the class's memory is empty.
    """

    cosines: Tensor
    chosen: Tensor


class ClassMemory:
    """For each class the last `size` samples it was given, as directions: one ring buffer for all classes.

    Args:
        num_classes: K.
        size: entries kept per class, M.
        dim: length of a flat sample, D.
        device: where it lies.
        keeps_first: keep the first `size` samples instead.
    """

    def __init__(
        self, num_classes: int, size: int, dim: int, device: torch.device | str = "cpu", *, keeps_first: bool = False
    ) -> None:
        # One row more than there is room for: what a batch itself pushes out again is written there.
        self.entries = torch.zeros(num_classes * size + 1, dim, device=device)
        self.seen = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.size, self._keeps_first = size, keeps_first

    def of(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit-length entries (B, M, D) of each label's class, and which of them are filled, (B, M) bool."""
        slots = torch.arange(self.size, device=labels.device)
        return self.entries[labels[:, None] * self.size + slots], slots < self.seen[labels][:, None]

    def add(self, samples: Tensor, labels: Tensor) -> None:
        """Add flat samples (B, D) to the memories of their classes (B,), the oldest entries making room."""
        same = labels[:, None] == labels[None, :]
        earlier = same.tril(-1).sum(1)  # samples of the same class that stand before it in the batch
        later = same.triu(1).sum(1)
        places = self.seen[labels] + earlier
        is_kept = places < self.size if self._keeps_first else later < self.size
        slots = torch.where(is_kept, labels * self.size + places % self.size, len(self.entries) - 1)
        self.entries.index_copy_(0, slots, F.normalize(samples.detach().to(self.entries.dtype), dim=1))
        self.seen.index_add_(0, labels, torch.ones_like(labels))

    def save_state(self, name: str) -> dict[str, Tensor]:
        """Return its content under keys that begin with `name`."""
        return {f"{name}.entries": self.entries, f"{name}.seen": self.seen}

    def load_state(self, name: str, state: dict[str, Tensor]) -> None:
        """Go back to a saved content."""
        self.entries.copy_(state[f"{name}.entries"])
        self.seen.copy_(state[f"{name}.seen"])


def representativeness(predicted: Tensor, labels: Tensor, real: ClassMemory) -> Tensor:
    """Return 1 minus the least cosine to a real entry, averaged over the classes present, () in [0, 2] (eq. 4).

    Args:
        predicted: clean samples implied by the predictions, (B, D); only each class's least similar pair has gradient.
        labels: (B,) int64.
        real: memory of real samples. A class without entries adds 0 to the sum and 1 to the count.
    """
    pairs = _choose(predicted, labels, real, largest=False)
    return _mean_over_classes(1 - pairs.cosines, pairs.chosen, labels)


def diversity(predicted: Tensor, labels: Tensor, generated: ClassMemory) -> Tensor:
    """Return the largest cosine to a generated entry, averaged over the classes present, () in [-1, 1] (eq. 5).

    Args:
        predicted: clean samples implied by the predictions, (B, D); only each class's most similar pair has gradient.
        labels: (B,) int64.
        generated: memory of earlier predictions. A class without entries adds 0 to the sum and 1 to the count.
    """
    pairs = _choose(predicted, labels, generated, largest=True)
    return _mean_over_classes(pairs.cosines, pairs.chosen, labels)


def _choose(samples: Tensor, labels: Tensor, memory: ClassMemory, *, largest: bool) -> ChosenPairs:
    entries, filled = memory.of(labels)
    directions = F.normalize(samples, dim=1)
    sign = 1 if largest else -1
    with torch.no_grad():
        scores = sign * torch.einsum("bd,bmd->bm", directions.detach().to(entries.dtype), entries)
        best, slots = scores.masked_fill(~filled, -torch.inf).max(1)
        same = labels[:, None] == labels[None, :]
        of_class = best.expand(len(best), -1).masked_fill(~same, -torch.inf).amax(1)
        winners = (best == of_class) & filled.any(1)
        chosen = winners & ~(same & winners[None, :]).tril(-1).any(1)  # one of equals: the first
    nearest = entries.gather(1, slots.view(-1, 1, 1).expand(-1, 1, entries.shape[2]))[:, 0]
    return ChosenPairs((directions * nearest).sum(1), chosen)


def _mean_over_classes(values: Tensor, chosen: Tensor, labels: Tensor) -> Tensor:
    is_first = ~(labels[:, None] == labels[None, :]).tril(-1).any(1)
    return torch.where(chosen, values, 0.0).sum() / is_first.sum()
