"""Slashes: grey 8x8 images of a slash, a backslash or a bar, drawn anew from a fixed seed; needs no file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ddbench.plugin import RealDataset, make_generator, make_real_dataset

SIDE = 8
CLASSES = ("slash", "backslash", "bar")


def load_slashes(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return 60 images to train on and 30 to test on, (N, 1, 8, 8) uint8. A slash in the mirror is a backslash."""
    return make_real_dataset(
        "slashes",
        _draw("train", 20),
        _draw("test", 10),
        class_names=CLASSES,
        mean=(0.31,),
        std=(0.31,),
        may_be_mirrored=False,
    )


def _draw(split: str, per_class: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(len(CLASSES)).repeat_interleave(per_class)
    diagonal = torch.eye(SIDE)
    shapes = torch.stack([diagonal.flip(1), diagonal, torch.zeros(SIDE, SIDE).index_fill_(1, torch.tensor(3), 1.0)])
    noise = torch.rand(len(labels), 1, SIDE, SIDE, generator=make_generator(0, "slashes", split))
    return (shapes[labels, None] * 150 + noise * 105).to(torch.uint8), labels
