"""A folder laid out as ImageNet is, of small pictures that are drawn: classes differ, so that they can be learned.

A picture is a wave across the image whose direction, length and colour belong to its class; its phase and its noise are
its own. Names are those of ILSVRC 2012: `train/<WordNet id>/<WordNet id>_<number>.JPEG`, and validation images either
in class folders or, as they come, flat in one folder, with the devkit's files of labels beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from ddbench.datasets._flat_validation import GROUND_TRUTH, META
from ddbench.datasets.imagenet1k import all_classes


def wordnet_ids(count: int = 1000) -> list[str]:
    """Return the first WordNet ids of ImageNet-1k, in label order."""
    return [wnid for wnid, _ in all_classes()[:count]]


def draw_picture(label: int, size: int, draws: np.random.Generator) -> np.ndarray:
    """Return (size, size, 3) uint8 pixels of a class."""
    of_class = np.random.default_rng(label)
    angle, waves, colour = of_class.uniform(0, np.pi), of_class.uniform(1, 6), of_class.uniform(-1, 1, 3)
    across, down = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    phase = 2 * np.pi * (waves * (across * np.cos(angle) + down * np.sin(angle)) + draws.random())
    wave = np.sin(phase)[..., None] * colour * 60 + draws.normal(0, 15, (size, size, 1))
    return (128 + 40 * colour + wave).clip(0, 255).astype(np.uint8)


def write_imagenet_like(
    root: Path, wnids: Sequence[str], *, train: int, val: int, size: int = 64, is_flat: bool = False
) -> None:
    """Write `train` and `val` JPEGs of each class below `root`.

    Args:
        root: folder for `train` and `val`; made where it is not there.
        wnids: WordNet ids in label order.
        train: training images of each class.
        val: validation images of each class.
        size: side length in pixels.
        is_flat: validation images lie in `val` itself in mixed order, labelled by the devkit's two files beside it,
            which number the classes backwards: in another order than that of their WordNet ids, as there.
    """
    draws = np.random.default_rng(0)
    for label, wnid in enumerate(wnids):
        for index in range(train):
            _write(root / "train" / wnid / f"{wnid}_{index}.JPEG", label, size, draws)
        for index in range(0 if is_flat else val):
            _write(root / "val" / wnid / f"ILSVRC2012_val_{label * val + index + 1:08d}.JPEG", label, size, draws)
    if is_flat:
        labels = draws.permutation(np.arange(len(wnids)).repeat(val))
        for number, label in enumerate(labels.tolist(), 1):
            _write(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", label, size, draws)
        write_devkit(root, wnids, labels.tolist())


def write_devkit(root: Path, wnids: Sequence[str], labels: Sequence[int]) -> None:
    """Write the devkit's list of labels, which are places in `wnids`, and its list of synsets, a parent among them."""
    numbers = range(len(wnids), 0, -1)
    (root / GROUND_TRUTH).write_text("".join(f"{numbers[label]}\n" for label in labels))
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(number, wnid, f"class {number}", 0) for number, wnid in zip(numbers, wnids, strict=True)]
    synsets = np.array([*rows, (len(wnids) + 1, "n00001740", "entity", 2)], dtype=kind)[:, None]
    savemat(root / META, {"synsets": synsets})


def _write(path: Path, label: int, size: int, draws: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_picture(label, size, draws)).save(path, quality=85)
