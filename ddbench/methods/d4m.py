"""D4M: clusters the encoded images of each class and draws one from each centre with an unchanged diffusion model.

Paper: Su et al., "D4M: Dataset Distillation via Disentangled Diffusion Model", CVPR 2024 (arXiv 2407.15138).
Checked against: suduo94/D4M, `distillation/gen_prototype.py` and `gen_syn_image.py`.
Differs from it: the model is a class-conditional transformer, given its class where theirs, Stable Diffusion 1.5, is
given its name, without a negative prompt; k-means reads the mean of each encoded image, all of a class in several
passes, where theirs reads a draw from each once. Labels are hard; a protocol with a teacher relabels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ddbench.diffusion.clusters import class_centers
from ddbench.diffusion.method import DiffusionConfig, DiffusionMethod
from ddbench.diffusion.sampling import SamplingPlan
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext, check_ipc


@METHODS.register("d4m")
class D4M(DiffusionMethod):
    """Each image is one of `ipc` cluster centres of its class, noised and denoised again."""

    prepare_ignores: ClassVar[tuple[str, ...]] = (*DiffusionMethod.prepare_ignores, "strength", "km_expand")
    smoke_settings: ClassVar[dict[str, object]] = {**DiffusionMethod.smoke_settings, "steps": 0}

    @dataclass(frozen=True)
    class Config(DiffusionConfig):
        """The authors' guidance and strength, and images of a mini-batch of k-means over `ipc`; no fine-tuning."""

        steps: Annotated[int, Field(ge=0)] = 0
        guidance: Annotated[float, Field(ge=1)] = 8.0
        strength: Annotated[float, Field(gt=0, le=1)] = 0.7
        km_expand: Annotated[int, Field(gt=0)] = 10

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where a class has fewer images than centres, or the backbone does not fit."""
        return check_ipc(train, ipc) or super().unsupported(train, ipc)

    def sampling_plan(self) -> SamplingPlan:
        """Return how the set is drawn, from noised centres."""
        return replace(super().sampling_plan(), strength=self.config.strength)

    def starts(
        self, train: LabeledImages, classes: list[int], ipc: int, seed: int, ctx: RunContext
    ) -> Mapping[int, Tensor]:
        """Return by label the centres of its images' inputs, (ipc, C, H, W)."""
        return class_centers(self.config, train, classes, ipc, seed, ctx, self.config.km_expand * ipc)
