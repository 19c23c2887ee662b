"""What trajectory matching learns, its gradients, and what decides whether a step was sound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ddbench.methods._trajectories.meta_gradient import MetaGradient

LOWER = "lower image_lr, lr_lr or start_lr"


@dataclass(frozen=True, eq=False)
class LearnedSet:
    """A synthetic set as it is learned.

    Attributes:
        images: (M, C, H, W) float32, in the students' space.
        lr: () the students' rate.
        labels: (M,) int64, which stay as they are, or (M, K) float32 logits of soft labels, which are learned.
    """

    images: Tensor
    lr: Tensor
    labels: Tensor

    @property
    def is_soft(self) -> bool:
        """Whether labels are learned."""
        return self.labels.is_floating_point()

    @property
    def learnable(self) -> dict[str, Tensor]:
        """The learned parts by name: `images`, `lr` and, where they are soft, `labels`."""
        return {"images": self.images, "lr": self.lr, **({"labels": self.labels} if self.is_soft else {})}

    def copied(self) -> LearnedSet:
        """Return the set as it is now, without gradients."""
        return LearnedSet(*(part.detach().clone() for part in (self.images, self.lr, self.labels)))

    def shown_labels(self) -> Tensor:
        """Return the labels that students see: (M,) int64, or (M, K) probabilities, the softmax of the logits."""
        return self.labels.detach().softmax(1) if self.is_soft else self.labels

    def gradients(self, found: MetaGradient) -> list[Tensor]:
        """Return the gradients of the loss by the learned parts; by the logits through their softmax."""
        if found.labels is None:
            return [found.images, found.lr]
        shares = self.shown_labels()
        by_logits = shares * (found.labels - (shares * found.labels).sum(1, keepdim=True))
        return [found.images, found.lr, by_logits]


@dataclass(frozen=True)
class StepCheck:
    """What decides whether a step was sound, read from the device in one transfer: the only wait of a step."""

    loss: float
    lr: float
    gradient_is_finite: bool
    images_are_finite: bool
    labels_are_finite: bool

    @classmethod
    def of(cls, found: MetaGradient, learned: LearnedSet) -> StepCheck:
        """Return the check of a gradient and of what was learned after a step down it."""
        gradient = found.images.isfinite().all() & found.lr.isfinite()
        if found.labels is not None:
            gradient = gradient & found.labels.isfinite().all()
        sound = [gradient, learned.images.isfinite().all(), learned.labels.isfinite().all()]
        lr = learned.lr.detach()
        loss, rate, *flags = torch.stack([found.loss, lr, *(flag.to(lr) for flag in sound)]).tolist()
        return cls(loss, rate, *map(bool, flags))

    def diagnose_gradient(self) -> str:
        """Return what is wrong with the gradient, empty where nothing is."""
        if not math.isfinite(self.loss):
            return f"the matching loss is {self.loss}; {LOWER}"
        return "" if self.gradient_is_finite else f"the gradient is not finite at loss {self.loss:.3g}; {LOWER}"

    def diagnose_step(self, lowest: float, highest: float) -> str:
        """Return what is wrong after the step, empty where nothing is; the rate may lie between two ends."""
        if not self.images_are_finite:
            return f"the images are not finite; {LOWER}"
        if not self.labels_are_finite:
            return "the labels are not finite; lower label_lr, lr_lr or start_lr"
        # Rounded as the rate itself is: both ends belong to the range.
        low, high = (torch.tensor(end).item() for end in (lowest, highest))
        if low <= self.lr <= high:
            return ""
        advice = "lower lr_lr or start_lr" if self.lr > high else "lower lr_lr or raise start_lr"
        return f"student_lr left its range, {low:g} to {high:g}, for {self.lr:.3g}; {advice}"
