"""RDED: builds images from the crops of real images that a teacher is most confident about.

Paper: Sun et al., "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation Paradigm", CVPR
2024 (arXiv 2312.03526). Checked against: LINs-lab/RDED, `synthesize/main.py` and `synthesize/utils.py`.
Differs from it: the teacher is trained here unless `teacher` names published weights, the reference's for ImageNet-1k;
crops are rounded to 8 bits, not stored as JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2.functional import resized_crop

from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.chunks import in_chunks
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import Chosen, draw_distinct
from ddbench.methods._teacher.choice import TeacherChoice, TeacherChoiceMethod
from ddbench.network import Network
from ddbench.students.loop import channels_last, chunk_size
from ddbench.work import MethodWork, Passes, PhaseWork

LARGEST_OF_ONE_CROP = 64  # px: above, an image is four; Tiny ImageNet's and CIFAR's scripts have factor 1
LEAST_AREA = 0.08


def draw_squares(generator: torch.Generator, count: int, side: int) -> Tensor:
    """Draw square crops of 0.08 to 1 of an image's area, (count, 3) int64: top, left, side."""
    draws = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    sides = ((LEAST_AREA + (1 - LEAST_AREA) * draws[:, 0]).sqrt() * side).round().clamp(min=1)
    starts = (draws[:, 1:] * (side - sides + 1)[:, None]).floor()
    return torch.cat([starts, sides[:, None]], 1).long()


def crop_all(pixels: Tensor, squares: Tensor, side: int) -> Tensor:
    """Return (n * k, C, side, side) crops of (n, C, S, S) uint8 images, k of each in turn; `squares` are (n * k, 3)."""
    each = len(squares) // len(pixels)
    crops = [
        resized_crop(pixels[at // each], top, left, edge, edge, [side, side], antialias=True)
        for at, (top, left, edge) in enumerate(squares.tolist())
    ]
    return torch.stack(crops)


def choose_crops(losses: Tensor, count: int) -> Tensor:
    """Return (count,) int64 places in flattened (n, k) losses: of each row the lowest, and of these the lowest ones."""
    lowest, columns = losses.min(1)
    rows = lowest.argsort(stable=True)[:count]
    return rows * losses.shape[1] + columns[rows]


def put_together(patches: Tensor, factor: int) -> Tensor:
    """Return (n, C, S, S) images of (n * factor^2, C, s, s) patches: patch k * n + i is cell k, by rows, of image i."""
    cells = patches.view(factor, factor, -1, *patches.shape[1:])  # row, column, image
    return torch.cat([torch.cat(list(row), 3) for row in cells], 2)


@METHODS.register("rded")
class RDED(TeacherChoiceMethod):
    """`ipc` images of each class, each of one crop or, above 64 px, of four."""

    @dataclass(frozen=True)
    class Config(TeacherChoice):
        """Settings: images looked at and crops of each, the paper's; crops a side of an image, None by its size.

        `candidates` are the reference's 300 (its 600 at IPC 200), and more where more patches are needed.
        """

        candidates: Annotated[int, Field(gt=0)] = 300
        crops: Annotated[int, Field(gt=0)] = 5
        factor: Annotated[int, Field(gt=0)] | None = None

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where a class has fewer images than patches are needed, or a side that none divides."""
        factor, side = self._factor(train), train.info.image_size
        if side % factor:
            return f"factor must divide the images' side, {side}, got {factor}"
        if (patches := ipc * factor**2) > (smallest := int(train.class_counts().min())):
            return f"{patches} patches a class are needed, and the smallest of {train.info.name} has {smallest} images"
        return self.teacher_unsupported(train)

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the teacher's training and its look at every crop."""
        looked_at = train.class_counts().clamp(max=self._candidates(train, ipc))
        crops = int(looked_at.sum()) * self.config.crops
        scoring = Passes(self.config.network, crops, chunk_size(torch.device("cpu")))
        return MethodWork(PhaseWork((scoring,)), self.preparing(train))

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) uint8 pixels, sorted by class."""
        teacher, factor, chosen = self.load_teacher(train, ctx), self._factor(train), Chosen(ctx.generator)
        for label in ctx.track(range(train.num_classes), "choosing crops", chosen):
            rows = draw_distinct(train.of_class(label), self._candidates(train, ipc), ctx.generator)
            squares = draw_squares(ctx.generator, len(rows) * self.config.crops, train.info.image_size)
            crops = crop_all(train.pixels(rows), squares, train.info.image_size // factor)
            losses = self._losses(teacher, crops, label, train, ctx).view(len(rows), -1)
            chosen.parts.append(put_together(crops[choose_crops(losses, ipc * factor**2)], factor))
        images, labels = torch.cat(chosen.parts), torch.arange(train.num_classes).repeat_interleave(ipc)
        provenance = self.teacher_provenance(ctx)
        return DistilledDataset(images, labels, train.num_classes, ipc, "pixels", provenance=provenance)

    @torch.no_grad()
    def _losses(self, teacher: Network, crops: Tensor, label: int, train: LabeledImages, ctx: RunContext) -> Tensor:
        """Return the teacher's cross-entropy of each (n, C, s, s) crop, put into the middle of an empty image, (n,)."""
        rim = train.info.image_size - crops.shape[-1]
        before = rim // 2

        def run(chunk: Tensor) -> Tensor:
            images = F.pad(train.info.normalise(crops[chunk].to(ctx.device)), (before, rim - before) * 2)
            targets = torch.full((len(chunk),), label, device=images.device)
            return F.cross_entropy(teacher(channels_last(images)), targets, reduction="none")

        return torch.cat(in_chunks("test_chunk", run, torch.arange(len(crops)), chunk_size(ctx.device))).cpu()

    def _factor(self, train: LabeledImages) -> int:
        given: int | None = self.config.factor
        return given or (1 if train.info.image_size <= LARGEST_OF_ONE_CROP else 2)

    def _candidates(self, train: LabeledImages, ipc: int) -> int:
        """Return how many images of each class are looked at, where there are so many: no fewer than are needed."""
        candidates: int = self.config.candidates
        return max(candidates, ipc * self._factor(train) ** 2)
