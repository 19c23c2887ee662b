"""Three ways to label one and the same set of images, from cheap to dear: what a gain of soft labels is a gain of.

Papers: arXiv 2502.06434, 2509.19743 and 2604.18811 (CVPR 2026) find that labels make most of what is published as a
gain of images. Which labels are compared, and that random real images get the same ones, follows them; the temperatures
are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.chunks import in_chunks
from ddbench.records import DatasetInfo, DistilledDataset
from ddbench.students.data import TrainingSet
from ddbench.students.loop import channels_last, chunk_size
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.teacher import ReadyTeacher

# `hard`: the class. `soft`: one distribution an image, kept with it. `online`: a teacher's, of every augmented batch.
Regime = Literal["hard", "soft", "online"]
REGIMES: tuple[Regime, ...] = get_args(Regime)


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with the labels of one regime.

    Attributes:
        distilled: the images, with labels that are kept with them.
        soft_labels: gives the labels of every batch in their place; None where they are kept.
        num_bytes: of the labels: those kept, or of the teacher that gives them.
        labels_of: whose they are: `set`, `teacher` or `class`.
    """

    distilled: DistilledDataset
    soft_labels: SoftLabels | None
    num_bytes: int
    labels_of: str


def label_set(
    distilled: DistilledDataset, regime: Regime, teacher: ReadyTeacher | None, info: DatasetInfo, device: torch.device
) -> LabelledSet | None:
    """Return the images of a set with the labels of a regime.

    The set's own soft labels are those of `soft` where it has any, and their largest entry is the class of `hard`.

    Args:
        distilled: the set.
        regime: which labels.
        teacher: gives soft labels; None where there is none.
        info: of the data set.
        device: where the teacher is.

    Returns:
        None where nobody can give them: without a teacher, or under `online` for whitened images, which a teacher that
        was trained on normalised ones cannot read.
    """
    if regime == "hard":
        hard = _by_class(distilled)
        return LabelledSet(hard, None, hard.labels.numel() * hard.labels.element_size(), "class")
    if regime == "soft" and distilled.label_mode == "soft":
        labels = distilled.labels
        return LabelledSet(distilled, None, labels.numel() * labels.element_size(), "set")
    if teacher is None or distilled.space == "zca":
        return None
    if regime == "online":
        hard = _by_class(distilled)
        return LabelledSet(hard, teacher.soft_labels, teacher.record.num_bytes, "teacher")
    labels = teacher_labels(distilled, teacher.soft_labels, info, device)
    return LabelledSet(replace(distilled, labels=labels), None, labels.numel() * labels.element_size(), "teacher")


def _by_class(distilled: DistilledDataset) -> DistilledDataset:
    """Return a set with the class of each image as its label; learned labels need not name each class as often."""
    counts = distilled.classes.bincount(minlength=distilled.num_classes)
    uneven = distilled.uneven or set(counts.tolist()) != {distilled.ipc}
    return replace(distilled, labels=distilled.classes, uneven=uneven)


@torch.no_grad()
def teacher_labels(
    distilled: DistilledDataset, soft_labels: SoftLabels, info: DatasetInfo, device: torch.device
) -> Tensor:
    """Return a teacher's distribution for each image as it is, (M, K) float32 on the CPU, at temperature 1.

    Of an image that holds several it is the mean over them.
    """
    data = TrainingSet.of(distilled, info, device)

    def run(chunk: Tensor) -> Tensor:
        images, _ = data.batch(chunk)
        return soft_labels.targets(channels_last(images)).float().softmax(1)

    with arithmetic_of("fp32", device):
        rows = torch.cat(in_chunks("label_chunk", run, torch.arange(len(data)), chunk_size(device))).cpu()
    return rows.view(distilled.decode_factor**2, len(distilled.images), -1).mean(0)
