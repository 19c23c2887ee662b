"""Soft labels: a student learns the distribution that a teacher gives to the same augmented images.

Papers: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv 1503.02531); Yin, Xing, Shen,
"Squeeze, Recover and Relabel" (SRe2L), NeurIPS 2023 (arXiv 2306.13092); Sun et al., "On the Diversity and Realism of
Distilled Dataset" (RDED), CVPR 2024 (arXiv 2312.03526). Checked against: LINs-lab/RDED, validation/main.py (`train`).
The divergence is multiplied by the temperature's square, as Hinton et al. do, under `kl`. RDED and SRe2L leave that
out (`kl-unscaled`), which AdamW hardly feels and SGD would: at temperature 20 its steps were 400 times shorter. EDC and
G-VBSM compare logits (`mse`) and add some cross-entropy with the class of each image, the part of it that was cut out
or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.network import Network
from ddbench.training_recipe import Teacher


def soft_label_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, *, scaled: bool = True
) -> Tensor:
    """Return the mean KL(teacher || student) at temperature T, (), times T^2 where `scaled`; logits are (B, K)."""
    student = F.log_softmax(student_logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2 if scaled else divergence


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher in evaluation mode, without gradient, on the students' device, and what students learn from it.

    Attributes:
        teacher: gives (B, K) logits.
        temperature: of the divergence.
        kind: of the loss, as `ddbench.training_recipe.Teacher` describes it.
        ce_weight: of the cross-entropy with the set's own labels.
    """

    teacher: Network
    temperature: float
    kind: Literal["kl", "kl-unscaled", "mse"] = "kl"
    ce_weight: float = 0.0

    @classmethod
    def of(cls, teacher: Network, temperature: float) -> SoftLabels:
        """Freeze a network and make a teacher of it, whose students learn the scaled divergence."""
        return cls(teacher.eval().requires_grad_(False), temperature)

    @classmethod
    def under(cls, part: Teacher, teacher: Network) -> SoftLabels:
        """Freeze a network and make the teacher of it that a protocol has."""
        return replace(cls.of(teacher, part.temperature), kind=part.loss, ce_weight=part.ce_weight)

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Return the teacher's (B, K) logits on the (B, C, H, W) images that a student sees."""
        logits: Tensor = self.teacher(images)
        return logits

    def loss(self, student_logits: Tensor, teacher_logits: Tensor, own: Tensor | None = None) -> Tensor:
        """Return the mean loss, (), of a student's (B, K) logits.

        Args:
            student_logits: on images that may be mixed.
            teacher_logits: `targets` of the same images.
            own: labels of the images before they were mixed, (B,) int64 or (B, K) float32; for a `ce_weight`.
        """
        if self.kind == "mse":
            loss = F.mse_loss(student_logits, teacher_logits)
        else:
            loss = soft_label_loss(student_logits, teacher_logits, self.temperature, scaled=self.kind == "kl")
        if not self.ce_weight:
            return loss
        if own is None:
            raise RuntimeError("a loss with cross-entropy needs the set's own labels")
        return loss + self.ce_weight * F.cross_entropy(student_logits, own)
