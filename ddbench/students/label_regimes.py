"""Ways to label one and the same set of images, from cheap to dear: what a gain of soft labels is a gain of.

Papers: arXiv 2502.06434, 2509.19743 and 2604.18811 (CVPR 2026) find that labels make most of what is published as a
gain of images. Which labels are compared, and that random real images get the same ones, follows them; the temperatures
are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.chunks import in_chunks
from ddbench.images import DatasetInfo
from ddbench.students.data import TrainingSet
from ddbench.students.loop import channels_last, chunk_size
from ddbench.students.soft_labels import SoftLabels
from ddbench.students.teacher import ReadyTeacher
from ddbench.training_recipe import Regime


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with the labels of one regime.

    Attributes:
        distilled: the images, with labels that are kept with them.
        soft_labels: gives the labels of every batch in their place; None where they are kept.
        num_bytes: of the labels: those kept, or of the teacher that gives them.
    """

    distilled: DistilledDataset
    soft_labels: SoftLabels | None
    num_bytes: int


def label_set(
    distilled: DistilledDataset, regime: Regime, teacher: ReadyTeacher | None, info: DatasetInfo, device: torch.device
) -> LabelledSet:
    """Return the images of a set with the labels of a regime that `can_label` allows.

    The largest entry of a set's own soft labels is the class of `hard`.

    Args:
        distilled: the set.
        regime: which labels.
        teacher: gives the labels of `soft` and `online`; None where another regime is asked for.
        info: of the data set.
        device: where the teacher is.
    """
    assert can_label(distilled, regime)
    if regime == "own":
        labels = distilled.labels
        return LabelledSet(distilled, None, labels.numel() * labels.element_size())
    if regime == "hard":
        hard = _by_class(distilled)
        return LabelledSet(hard, None, hard.labels.numel() * hard.labels.element_size())
    assert teacher is not None
    if regime == "online":
        return LabelledSet(_by_class(distilled), teacher.soft_labels, teacher.record.num_bytes)
    labels = teacher_labels(distilled, teacher.soft_labels, info, device)
    return LabelledSet(replace(distilled, labels=labels), None, labels.numel() * labels.element_size())


def can_label(distilled: DistilledDataset, regime: Regime) -> bool:
    """Return whether a set can have the labels of a regime: a teacher of normalised images reads no whitened ones."""
    if regime == "own":
        return distilled.label_mode == "soft"
    return regime == "hard" or distilled.space != "zca"


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
