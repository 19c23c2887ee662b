"""CutMix: a rectangle of every image of a batch replaced by that of another image, and the labels mixed by area.

Paper: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019
(arXiv 1905.04899). Checked against: vimar-gu/MinimaxDiffusion, train.py (`train_epoch`) and misc/utils.py
(`rand_bbox`): one rectangle and one permutation for the whole batch, and the label's weight is the area that is really
kept, after clipping at the border. Differs from it: drawn on the host from the generator handed in; hard labels become
distributions, whose cross entropy is the reference's weighted sum of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor

from ddbench.training_recipe import CutMix


@dataclass(frozen=True)
class CutMixDraw:
    """One drawn mixture of B images of `side` pixels.

    Attributes:
        partners: (B,) int64: whose rectangle each image gets, a permutation.
        rows: first row of the rectangle and the one behind the last.
        columns: first column of the rectangle and the one behind the last.
        kept: fraction of each image, and of its label, that stays.
    """

    partners: Tensor
    rows: tuple[int, int]
    columns: tuple[int, int]
    kept: float


def draw_cutmix(generator: torch.Generator, recipe: CutMix, num_images: int, side: int) -> CutMixDraw | None:
    """Draw a mixture from a CPU generator; None where chance, 1 - `recipe.probability`, says not to mix."""
    chance, uniform, row, column = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    partners = torch.randperm(num_images, generator=generator)
    if chance >= recipe.probability:
        return None
    area = beta_quantile(recipe.beta, uniform)
    half = int(side * math.sqrt(1 - area)) // 2
    rows, columns = (
        (max(0, centre - half), min(side, centre + half)) for centre in (int(row * side), int(column * side))
    )
    kept = 1 - (rows[1] - rows[0]) * (columns[1] - columns[0]) / side**2
    return CutMixDraw(partners, rows, columns, kept)


def mix_images(images: Tensor, draw: CutMixDraw) -> Tensor:
    """Return (B, C, S, S) images, each with the rectangle of its partner; the images handed in stay as they are."""
    mixed = images.clone()
    (top, bottom), (left, right) = draw.rows, draw.columns
    partners = draw.partners.to(images.device, non_blocking=True)
    mixed[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right][partners]
    return mixed


def mix_labels(labels: Tensor, num_classes: int, draw: CutMixDraw) -> Tensor:
    """Return (B, K) float32 distributions: each label's and its partner's, weighted by the areas.

    Args:
        labels: (B,) int64 or (B, K) float.
        num_classes: K.
        draw: the mixture of the images.
    """
    soft = as_distributions(labels, num_classes)
    partners = draw.partners.to(labels.device, non_blocking=True)
    return soft * draw.kept + soft[partners] * (1 - draw.kept)


def beta_quantile(beta: float, uniform: float) -> float:
    """Return what Beta(`beta`, `beta`) draws where its distribution function is `uniform`, 0 to 1."""
    return uniform if beta == 1 else float(betaincinv(beta, beta, uniform))  # Beta(1, 1) is the uniform itself


def as_distributions(labels: Tensor, num_classes: int) -> Tensor:
    """Return (B, K) float distributions of (B,) int64 classes; such as are distributions already as they are."""
    if labels.ndim > 1:
        return labels
    return torch.zeros(len(labels), num_classes, device=labels.device).scatter_(1, labels[:, None], 1.0)
