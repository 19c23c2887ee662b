"""DD-Ranking 0.2.0: what its metric classes take, and what one of its configs would be here.

Read in: NUS-HPC-AI-Lab/DD-Ranking, `metrics/`, `utils/` and the configs beside its results (arXiv 2505.13300).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.pixels import as_pixels
from ddbench.errors import UnsupportedError
from ddbench.images import DatasetInfo
from ddbench.registry import DATASETS, NETWORKS

# The constants that it normalises by; CIFAR-100 by those of CIFAR-10. Any other data set by ours.
_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CONSTANTS = {"cifar10": _CIFAR, "cifar100": _CIFAR}
# What protocol `dsa` does of what its configs may say.
OF_DSA = {"num_epochs": 1000, "syn_batch_size": 256, "momentum": 0.9, "weight_decay": 0.0005, "lr_scheduler": "step"}
LEAST_PROBABILITY = 1e-30  # of which a logarithm is taken


@dataclass(frozen=True, eq=False)
class DDRankingInputs:
    """Arguments of `compute_metrics`, and of the classes.

    Attributes:
        image_tensor: (K * IPC, C, H, W) float32, sorted by class, normalised by its constants, or whitened.
        soft_labels: (K * IPC, K) float32 logits; None for hard labels, which it numbers itself.
        syn_lr: learned rate, None without one.
        settings: arguments of the metric classes that follow from the set: `ipc`, `im_size`, `use_zca`.
    """

    image_tensor: Tensor
    soft_labels: Tensor | None
    syn_lr: float | None
    settings: Mapping[str, Any]


def to_dd_ranking(distilled: DistilledDataset, info: DatasetInfo) -> DDRankingInputs:
    """Return a set as DD-Ranking's metric classes take it.

    Args:
        distilled: the set, as many images of each class.
        info: of the data set that it stands for.

    Raises:
        UnsupportedError: classes of different size, images that hold several, or the whole training set.
    """
    counts = set(distilled.classes.bincount(minlength=distilled.num_classes).tolist())
    if len(counts) > 1 or distilled.decode_factor > 1 or distilled.ipc is None:
        what = "classes of different size" if len(counts) > 1 else "images that hold several, or a whole training set"
        raise UnsupportedError(f"DD-Ranking takes as many whole images of each class, not {what}; export it as tensors")
    order = distilled.classes.cpu().argsort(stable=True)
    if distilled.space == "zca":
        images = distilled.images.cpu().float()
    else:
        mean, std = constants_of(info)
        if distilled.space == "normalised" and (mean, std) == (info.mean, info.std):
            images = distilled.images.cpu().float()
        else:
            pixels = as_pixels(distilled, info)
            pixels = pixels.float().div(255) if pixels.dtype == torch.uint8 else pixels
            images = (pixels - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
    labels = None
    if distilled.label_mode == "soft":
        labels = distilled.labels.cpu().float().clamp(min=LEAST_PROBABILITY).log()[order]
    settings = {"ipc": distilled.ipc, "im_size": list(images.shape[2:]), "use_zca": distilled.space == "zca"}
    return DDRankingInputs(images[order].contiguous(), labels, distilled.student_lr, settings)


def constants_of(info: DatasetInfo) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std by which DD-Ranking normalises a data set; our own where it does not know it."""
    return CONSTANTS.get(info.name, (info.mean, info.std))


def equivalent_command(config: Mapping[str, Any]) -> str:
    """Return the command that measures here what a run of DD-Ranking with a config measures."""
    evaluator = "label_regimes" if config.get("soft_label_mode") else "lrs"
    network = network_name(config.get("model_name")) or "convnet-d3"
    students = shlex.quote(str(config.get("num_eval", 5)))  # of a file from elsewhere, and made to be copied
    return (
        f"ddbench evaluate SET --dataset {dataset_name(config) or 'DATASET'} --protocol dsa "
        f"--network {shlex.quote(network)} --students {students} --evaluator accuracy --evaluator {evaluator}"
    )


def differences(config: Mapping[str, Any]) -> list[str]:
    """Return what of a config that command does not do, one line each."""
    found = [
        f"{key} is {config[key]} there, {usual} under protocol dsa"
        for key, usual in OF_DSA.items()
        if key in config and config[key] != usual
    ]
    augmentation = str(config.get("data_aug_func") or "none").lower()
    if augmentation != "dsa":
        found.append(f"augmentation {augmentation} there, dsa under protocol dsa")
    if network_name(config.get("model_name")) is None:
        found.append(f"network {config.get('model_name')} has no name here; convnet-d3 stands in its place")
    if dataset_name(config) is None:
        found.append(f"data set {config.get('dataset')} has no name here")
    return [*found, "DD-Ranking keeps its best test and searches rates on the test set; here the last epoch counts"]


def network_name(theirs: object) -> str | None:
    """Return our name of a network of theirs: `ConvNet-3-BN` is convnet-d3-bn; None for one that is not here."""
    family, *parts = str(theirs).lower().split("-")
    if family not in NETWORKS.names():
        return None
    depth = parts.pop(0) if parts and parts[0].isdigit() else ""
    return "-".join([family + ("-d" if family == "convnet" and depth else "") + depth, *parts])


def dataset_name(config: Mapping[str, Any]) -> str | None:
    """Return our name of a config's data set: the one of the same letters and digits."""

    def letters(name: str) -> str:
        return "".join(filter(str.isalnum, name.casefold()))

    wanted = letters(str(config.get("dataset", "")))
    return next((name for name in DATASETS.names() if letters(name) == wanted), None)
