"""ZCA whitening: the space in which MTT trains experts and students on some data sets.

Paper: Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching Training Trajectories", CVPR 2022
(arXiv 2203.11932).
Checked against: GeorgeCazenavette/mtt-distillation, whose `utils.py` fits `kornia.enhance.ZCAWhitening(eps=0.1)` on the
training images as pixels in [0, 1], without mean and std normalisation, and whitens the test set with it.
Differs from it: the inverse is solved for when it is asked for, in float64, and not kept: it would double what a set
costs on disk.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ddbench.errors import BadInputError, UnsupportedError
from ddbench.images import DatasetInfo, LabeledImages, Whitening

EPS = 0.1  # added to every variance; source: utils.py of mtt-distillation
MAX_SIDE = 64  # pixels; our choice: 576 MiB of matrix in colour, and 16 times that at twice the side


def zca_unsupported(info: DatasetInfo) -> str | None:
    """Return why images of a data set cannot be whitened, or None where they can."""
    if info.image_size <= MAX_SIDE:
        return None
    gibibytes = 4 * (info.channels * info.image_size**2) ** 2 / 2**30
    return (
        f"ZCA whitening takes images of at most {MAX_SIDE} px, got {info.image_size} px: its matrix would take "
        f"{gibibytes:.3g} GiB; work without ZCA"
    )


def fit_zca(train: LabeledImages, eps: float = EPS, device: torch.device | str = "cpu") -> Whitening:
    """Fit the whitening of a training split: matrix = U diag(1 / sqrt(variance + eps)) U^T of its covariance.

    Takes the memory of two float32 copies of the split on `device`: one of pixels and one of centred pixels.

    Args:
        train: the split; its pixels are scaled to [0, 1] and not normalised.
        eps: added to every variance, positive.
        device: where to compute.

    Returns:
        The whitening, on the CPU.

    Raises:
        BadInputError: an eps that is not positive, or fewer than two images.
        UnsupportedError: images too large.
    """
    from kornia.enhance.zca import zca_mean  # takes a second to import

    if not 0 < eps < float("inf"):
        raise BadInputError(f"eps of the ZCA whitening must be a positive number, got {eps}")
    if len(train) < 2:
        raise BadInputError(f"ZCA whitening is fitted on at least 2 images, got {len(train)}; use a larger split")
    reason = zca_unsupported(train.info)
    if reason:
        raise UnsupportedError(f"{train.info.name}: {reason}")
    pixels = train.pixels(torch.arange(len(train))).to(device).float().div_(255)
    matrix, mean, _ = zca_mean(pixels.flatten(1), eps=float(eps))
    return Whitening(mean[0].cpu(), matrix.cpu().contiguous())


def whiten(pixels: Tensor, whitening: Whitening) -> Tensor:
    """Return whitened images (n, C, H, W) float32, on the device of `pixels`; differentiable.

    Args:
        pixels: (n, C, H, W) uint8, or float in [0, 1].
        whitening: of D = C * H * W values; best on the same device, else it is sent there at every call.
    """
    constants = whitening.to(pixels.device)
    flat = (pixels.float().div(255) if pixels.dtype == torch.uint8 else pixels.float()).flatten(1)
    return flat.sub(constants.mean).mm(constants.matrix).view(pixels.shape)


def unwhiten(images: Tensor, whitening: Whitening) -> Tensor:
    """Undo `whiten`: (n, C, H, W) float, zca -> float32 pixels, not clipped to [0, 1]; solved for in float64.

    Raises:
        BadInputError: a matrix that has no inverse, which no fit gives.
    """
    constants = whitening.to(images.device)
    centred, failed = torch.linalg.solve_ex(constants.matrix.double(), images.double().flatten(1), left=False)
    if int(failed):
        raise BadInputError("a whitening's matrix must have an inverse, got one without; fit it again with fit_zca")
    return cast(Tensor, centred.add(constants.mean).float().view(images.shape))
