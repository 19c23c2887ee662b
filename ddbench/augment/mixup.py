"""Mixup: every image of a batch becomes a weighted mean with another one, and so do the labels.

Paper: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412). Checked against:
VILA-Lab/SRe2L, relabel_cifar.py (`mixup_data`): one weight and one permutation for the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.augment.cutmix import as_distributions, beta_quantile
from ddbench.training_recipe import Mixup


def mixup(
    images: Tensor, labels: Tensor, num_classes: int, recipe: Mixup, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return (B, C, S, S) mixed images and their (B, K) float32 distributions.

    Args:
        images: of any range; mixing commutes with normalisation.
        labels: (B,) int64 or (B, K) float.
        num_classes: K.
        recipe: from which Beta the weight is drawn.
        generator: CPU generator of the weight and the partners.
    """
    uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
    partners = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
    own = beta_quantile(recipe.alpha, uniform)
    soft = as_distributions(labels, num_classes)
    return images * own + images[partners] * (1 - own), soft * own + soft[partners] * (1 - own)
