"""SRe2L: optimises images until a teacher is sure of their classes and its batch statistics match real images.

With `crop_schedule` `curriculum` it is CDA. Papers: Yin, Xing, Shen, "Squeeze, Recover and Relabel", NeurIPS 2023
(arXiv 2306.13092), equations 6 to 9; Yin, Shen, "Dataset Distillation via Curriculum Data Synthesis in Large Data Era"
(CDA), TMLR 2024 (arXiv 2311.18838). Checked against: VILA-Lab/SRe2L, `SRe2L/recover/data_synthesis.py`, and
`CDA/recover_cda_in1k.py`. Differs from them: the teacher is trained here unless `teacher` names published weights,
theirs for ImageNet-1k; images are rounded to 8 bits and not kept as JPEG; labels are hard: a protocol with a teacher
relabels. All images are rolled the same way (Tiny ImageNet's: either).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._teacher.batch_statistics import watched_statistics
from ddbench.methods._teacher.class_recovery import ClassRecoveryMethod, Recipe, augment
from ddbench.methods._teacher.recovery import FIRST_FACTOR, new_recovery, recover
from ddbench.students.loop import channels_last


@METHODS.register("sre2l")
class SRe2L(ClassRecoveryMethod):
    """`ipc` images of each class, one of each class at a time, from noise."""

    recipes: ClassVar[Mapping[int, Recipe]] = {  # CIFAR-100, Tiny ImageNet, ImageNet
        32: Recipe(1000, 0.25, 0.01, 4, "none"),
        64: Recipe(4000, 0.1, 1.0, 4, "constant"),
        224: Recipe(4000, 0.25, 0.01, 32, "constant"),
    }

    @dataclass(frozen=True)
    class Config(ClassRecoveryMethod.Config):
        """Settings of recovering, and the authors' batch: one image of each of so many classes."""

        classes_at_once: Annotated[int, Field(gt=0)] = 100

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) uint8 pixels, sorted by class."""
        teacher, info, recipe = self.load_teacher(train, ctx), train.info, self.recipe(train.info)
        with watched_statistics(teacher) as gaps:

            def loss_of(images: Tensor, places: Tensor, step: int, iteration: int) -> Tensor:
                logits = teacher(channels_last(augment(images, info, recipe, step, ctx.generator)))
                sureness = F.cross_entropy(logits, (places // ipc).to(ctx.device))
                loss: Tensor = sureness + recipe.statistics_weight * gaps.take(FIRST_FACTOR)
                return loss

            state = new_recovery(train, ipc, ctx)
            images = recover(state, self.batches(train, ipc), recipe.steps, recipe.lr, loss_of, info, ctx)
        return self.made_set(images, train, ipc, ctx)
