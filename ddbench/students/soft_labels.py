"""Soft labels: a student learns the distribution that a teacher gives to the same augmented images.

Papers: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv 1503.02531); Yin, Xing, Shen,
"Squeeze, Recover and Relabel" (SRe2L), NeurIPS 2023 (arXiv 2306.13092); Sun et al., "On the Diversity and Realism of
Distilled Dataset" (RDED), CVPR 2024 (arXiv 2312.03526). Checked against: LINs-lab/RDED, validation/main.py (`train`).
Differs from it: the divergence is multiplied by the temperature's square, as Hinton et al. do. RDED leaves that out,
which AdamW hardly feels and SGD would: at temperature 20 its steps were 400 times shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.network import Network


def soft_label_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return T^2 times the mean divergence KL(teacher || student) at temperature T, a scalar; logits are (B, K)."""
    student = F.log_softmax(student_logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher in evaluation mode, without gradient, on the students' device, and the temperature."""

    teacher: Network
    temperature: float

    @classmethod
    def of(cls, teacher: Network, temperature: float) -> SoftLabels:
        """Freeze a network and make a teacher of it."""
        return cls(teacher.eval().requires_grad_(False), temperature)

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Return the teacher's (B, K) logits on the (B, C, H, W) images that a student sees."""
        logits: Tensor = self.teacher(images)
        return logits

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The mean loss of a student's (B, K) logits and `targets`, ()."""
        return partial(soft_label_loss, temperature=self.temperature)
