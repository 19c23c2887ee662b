"""Digits: 1,797 grey digits, 8x8, 10 classes; they ship with scikit-learn, so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch

from ddbench.dataset import make_real_dataset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS


@DATASETS.register("digits")
def load_digits(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return the digits with a fixed stratified split: the last fifth of each class is the test split.

    Images (N, 1, 8, 8) uint8: the source's 0..16 scaled to 0..255. `data_dir` and `download` are not used.
    """
    from sklearn.datasets import load_digits as load_bundled

    bundle = load_bundled()
    images = torch.from_numpy(bundle.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bundle.target).long()
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        of_class = (labels == label).nonzero(as_tuple=True)[0]
        is_test[of_class[-(len(of_class) // 5) :]] = True
    pixels = images[~is_test].float().div(255)
    return make_real_dataset(
        "digits",
        (images[~is_test], labels[~is_test]),
        (images[is_test], labels[is_test]),
        class_names=tuple(str(digit) for digit in range(10)),
        mean=(round(pixels.mean().item(), 4),),
        std=(round(pixels.std().item(), 4),),
        may_be_mirrored=False,
        expected={
            "train_counts": [143, 146, 142, 147, 145, 146, 145, 144, 140, 144],
            "test_counts": [35, 36, 35, 36, 36, 36, 36, 35, 34, 36],
            "image_shape": [1, 8, 8],
        },
    )
