"""DiT: draws images from a class-conditional diffusion transformer, fine-tuned with the diffusion loss alone.

Paper: Peebles, Xie, "Scalable Diffusion Models with Transformers", ICCV 2023 (arXiv 2212.09748); as a baseline of
distillation in Gu et al., CVPR 2024 (arXiv 2311.15529).
Checked against: vimar-gu/MinimaxDiffusion, whose fine-tuning without the two criteria this is.
Differs from it: see `_diffusion` and `ddbench.diffusion`; with `steps=0` the backbone is sampled as it is.
"""

from __future__ import annotations

from ddbench.diffusion.method import DiffusionConfig, DiffusionMethod
from ddbench.method import METHODS


@METHODS.register("dit")
class DiffusionTransformer(DiffusionMethod):
    """The paper's baseline."""

    Config = DiffusionConfig
