"""Minimax diffusion: fine-tunes a diffusion transformer for representative, diverse images and draws the set from it.

Paper: Gu, Vahidian, Kungurtsev, Wang, Jiang, You, Chen, "Efficient Dataset Distillation via Minimax Diffusion", CVPR
2024 (arXiv 2311.15529).
Checked against: vimar-gu/MinimaxDiffusion, train_dit.py and sample.py.
Differs from it: the average's decay is scaled to the length of the run; images are drawn many at a time, each with a
noise of its own; the last weights are kept. Training images are scaled in one step, bilinear and antialiased, where the
authors halve them with a box filter and then scale them bicubic, which leaves 9 to 17 % more contrast between
neighbours. Their average also takes in frozen weights, which drift by rounding, they drop a last batch that is not
full, and allow TF32; here the average is of trained weights alone, and arithmetic is float32 unless `precision` says
otherwise. See `ddbench.diffusion` for the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from ddbench.diffusion.backbone import NO_VAE
from ddbench.diffusion.criteria_space import CriteriaSpace, SpaceName, space_maker
from ddbench.diffusion.fine_tuning import Keeps, TuningPlan
from ddbench.diffusion.inputs import InputSource
from ddbench.diffusion.method import DiffusionConfig, DiffusionMethod
from ddbench.images import LabeledImages
from ddbench.method import ADDED, METHODS, RunContext


@METHODS.register("minimax")
class MinimaxDiffusion(DiffusionMethod):
    """Fine-tuned by the diffusion loss and the two minimax criteria."""

    @dataclass(frozen=True)
    class Config(DiffusionConfig):
        """Weights of the criteria, 0 to switch one off, and entries per class of the memories; the reference's.

        `memory_keeps` the latest entries, as the reference, or the first, for its ablation. `criteria_space` is where
        samples are compared: `inputs` are the denoiser's, the paper's latents where there is a VAE; `centred` are these
        less their mean; `features` are of a convnet trained briefly, for pixels alone. In the latter two a weight
        counts in units of the mean dissimilarity of two real images of a class (`ddbench.diffusion.criteria_space`).
        """

        representativeness_weight: Annotated[float, Field(ge=0)] = 0.002
        diversity_weight: Annotated[float, Field(ge=0)] = 0.008
        memory_size: Annotated[int, Field(gt=0)] = 64
        memory_keeps: Keeps = field(default="latest", metadata=ADDED)
        criteria_space: SpaceName = field(default="inputs", metadata=ADDED)

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where the criteria's space does not go with the VAE, or the backbone does not fit."""
        if self.config.criteria_space == "features" and self.config.vae != NO_VAE:
            return "criteria_space=features compares images, and a VAE's latents are none; use inputs or centred"
        return super().unsupported(train, ipc)

    def plan(self, train: LabeledImages) -> TuningPlan:
        """Return how the backbone is fine-tuned, the criteria's weights in it."""
        return replace(
            super().plan(train),
            representativeness_weight=self.config.representativeness_weight,
            diversity_weight=self.config.diversity_weight,
            memory_size=self.config.memory_size,
            memory_keeps=self.config.memory_keeps,
        )

    def criteria_space(self, train: LabeledImages, ctx: RunContext) -> Callable[[InputSource], CriteriaSpace]:
        """Return what makes the space of the settings, from real images where it is not the inputs' own."""
        return space_maker(self.config.criteria_space, train, ctx)
