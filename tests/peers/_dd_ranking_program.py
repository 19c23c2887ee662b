"""Runs DD-Ranking 0.2.0's own soft-label score, in an environment of its own: `python _dd_ranking_program.py FOLDER`.

FOLDER holds what `test_dd_ranking_parity.py` left: `settings.json`, `train.safetensors`, `test.safetensors`,
`set.safetensors` and its teacher; accuracies are printed, and the random images lie in `random_data/`.
Changed of DD-Ranking: CIFAR-10 comes from these files instead of a download, and the accuracy of the whole data, which
its improvement over random has no use for, is a made-up one, so that no training is spent on it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file


class Part(torch.utils.data.Dataset):
    """A part of CIFAR-10 from a file, with what DD-Ranking reads of torchvision's class."""

    def __init__(
        self, root: str, train: bool = True, download: bool = False, transform: Callable[..., Any] | None = None
    ) -> None:
        tensors = load_file(Path(root) / ("train.safetensors" if train else "test.safetensors"))
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in tensors["images"]]
        self.targets = tensors["labels"].tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[object, int]:
        image = self.images[index]
        return (self.transform(image) if self.transform else image), self.targets[index]


def main(folder: Path) -> None:
    """Score the set of a folder."""
    os.chdir(folder)  # random images are written where the process stands
    torchvision.datasets.CIFAR10 = Part
    from ddranking.metrics import LabelRobustScoreSoft
    from ddranking.metrics.soft_label import REAL_DATA_ACC_CACHE
    from torchvision.transforms import Compose, Normalize, ToTensor

    settings = json.loads(Path("settings.json").read_text())
    assert version("ddranking") == "0.2.0"
    REAL_DATA_ACC_CACHE["CIFAR10-ConvNet-3"] = 50.0
    as_normalised = Compose([ToTensor(), Normalize(*settings.pop("constants"))])
    syn_lr = settings.pop("syn_lr")
    score = LabelRobustScoreSoft(
        **settings,
        dataset="CIFAR10",
        model_name="ConvNet-3",
        soft_label_mode="M",
        soft_label_criterion="kl",
        teacher_dir="teachers",
        teacher_model_names=["ConvNet-3"],
        data_aug_func="dsa",
        random_data_format="image",
        custom_train_trans=as_normalised,
        real_data_path=".",
        save_path="./score.csv",
        num_workers=0,
        device="cpu",
    )
    score.compute_metrics(image_tensor=load_file("set.safetensors")["image_tensor"], syn_lr=syn_lr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
