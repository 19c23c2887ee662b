"""DATM: matches expert trajectories from epochs whose difficulty suits the IPC, and learns soft labels.

Paper: Guo, Wang, Cazenavette, Li, Zhang, You, "Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory
Matching", ICLR 2024 (arXiv 2310.05773).
Checked against: NUS-HPC-AI-Lab/DATM, buffer/buffer_FTD.py, distill/DATM.py, utils/cfg.py, configs/CIFAR-10/ConvIN and
the readme's command for experts. An iteration whose loss is above the threshold takes no step at all, of images, labels
or rate, and leaves their momentum as it was; draws and the schedule of epochs go on.
Differs from it: the labels kept are the softmax of the learned logits, which the reference stores as they are and puts
through a softmax in every loss; the last images are returned and never the best by test accuracy; experts are drawn
independently in each step, not in a shuffled order; where batches do not divide the set the odd one comes last; each
class looks for its images at the first expert first, where the reference goes on at the one that an earlier class came
to; images that no expert classifies correctly end the run in one line, where the reference searches for ever; a run of
which every iteration is skipped, and a student rate that leaves a stated range, are errors; the gradient is computed in
the `adjoint` way, which equals that of DATM.py (`tesla` is that of DATM_tesla.py, with its factor 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from ddbench.engine.chunks import in_chunks
from ddbench.errors import BadInputError
from ddbench.images import LabeledImages, Whitening
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import draw_distinct
from ddbench.methods._trajectories.expert_files import Expert
from ddbench.methods._trajectories.flat_minima import FlatExpertConfig, FlatExpertMethod
from ddbench.methods._trajectories.matching import MatchingConfig, MatchingMethod, images_in_space
from ddbench.network import InputShape, Network, make_network

CHUNK = 256  # images that an expert classifies at once; as DATM.py


@METHODS.register("datm")
class DifficultyAligned(FlatExpertMethod, MatchingMethod):
    """Trajectory matching of growing difficulty, with soft labels learned beside images and student rate."""

    prepare_ignores: ClassVar[tuple[str, ...]] = (
        *MatchingMethod.prepare_ignores,
        "min_start_epoch",
        "first_max_start_epoch",
        "expansion_steps",
        "label_lr",
        "label_momentum",
        "threshold",
    )
    # Experts must know the digits, for images start from those that they classify correctly.
    smoke_settings: ClassVar[dict[str, Any]] = {
        **MatchingMethod.smoke_settings,
        "trajectory_batch_size": 32,
        "trajectory_lr": 0.05,
        "max_start_epoch": 2,
    }

    @dataclass(frozen=True)
    class Config(FlatExpertConfig, MatchingConfig):
        """Settings of the reference's CIFAR-10 row at IPC 1; `baselines/presets` has those of IPC 10 and 50.

        Students start at epochs from `min_start_epoch` to below an upper end, which grows evenly from
        `first_max_start_epoch` to `max_start_epoch` over `expansion_steps` iterations, or with None is there at once.
        """

        steps: Annotated[int, Field(gt=0)] = 10000
        syn_steps: Annotated[int, Field(gt=0)] = 80
        max_start_epoch: Annotated[int, Field(gt=0)] = 4
        min_start_epoch: Annotated[int, Field(ge=0)] = 0
        first_max_start_epoch: Annotated[int, Field(gt=0)] | None = None
        expansion_steps: Annotated[int, Field(gt=0)] = 1000
        label_lr: Annotated[float, Field(ge=0)] = 5.0
        label_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
        threshold: Annotated[float, Field(gt=0)] = 1.1

        def __post_init__(self) -> None:
            super().__post_init__()
            first = self.max_start_epoch if self.first_max_start_epoch is None else self.first_max_start_epoch
            if not self.min_start_epoch < first <= self.max_start_epoch:
                name = "max_start_epoch" if self.first_max_start_epoch is None else "first_max_start_epoch"
                raise ValueError(
                    f"{name} must be above min_start_epoch = {self.min_start_epoch} and at most max_start_epoch = "
                    f"{self.max_start_epoch}, got {first}; students start at an epoch from the one to below the other"
                )

        def start_epochs(self, step: int) -> range:
            """Return the epochs of an expert at which a student of iteration `step` may start."""
            first = self.max_start_epoch if self.first_max_start_epoch is None else self.first_max_start_epoch
            grown = first + (self.max_start_epoch - first) * step // self.expansion_steps
            return range(self.min_start_epoch, min(grown, self.max_start_epoch))

        @property
        def skip_above(self) -> float:
            """The largest loss of which an iteration takes its step."""
            return self.threshold

        def rates(self) -> dict[str, dict[str, float]]:
            """Return the SGD rate and momentum of images, student rate and label logits."""
            return {**super().rates(), "labels": {"lr": self.label_lr, "momentum": self.label_momentum}}

    def starts(
        self, train: LabeledImages, ipc: int, experts: list[Expert], whitening: Whitening | None, ctx: RunContext
    ) -> tuple[Tensor, Tensor]:
        """Return real images that an expert classifies correctly at its last epoch, and their logits.

        Random ones of the first expert's, (K * ipc, C, H, W) float32, of the next one's where those are too few. The
        logits, (K * ipc, K) float32, are the mean over all experts that classify the image correctly at the end.

        Raises:
            BadInputError: the experts together classify fewer images of a class correctly.
        """
        network = make_network(self.config.network, InputShape.of(train.info), torch.Generator()).to(ctx.device).eval()
        chosen, finders = self._find(network, train, ipc, experts, whitening, ctx)
        for label, found in enumerate(chosen):
            if len(found) < ipc:
                raise BadInputError(
                    f"datm: experts classify {len(found)} images of class {train.info.class_names[label]} correctly at "
                    f"epoch {self.config.trajectory_epochs}, fewer than ipc {ipc}; train them for longer, at a higher "
                    "trajectory_lr, or more of them"
                )
        indices = torch.cat(chosen)
        images = images_in_space(train, indices, whitening, ctx.device)
        return images, self._mean_logits(network, experts, images, train.labels[indices], torch.cat(finders))

    def _find(
        self,
        network: Network,
        train: LabeledImages,
        ipc: int,
        experts: list[Expert],
        whitening: Whitening | None,
        ctx: RunContext,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return for each class up to `ipc` indices of its images, and the number of the expert that found each."""
        orders = [draw_distinct(own, len(own), ctx.generator) for own in map(train.of_class, range(train.num_classes))]
        chosen, finders = ([torch.empty(0, dtype=torch.int64) for _ in orders] for _ in range(2))
        for number, expert in enumerate(experts):
            lacking = [label for label, found in enumerate(chosen) if len(found) < ipc]
            if lacking:
                self._become(network, expert, ctx.device)
            for label in lacking:
                for part in orders[label][~torch.isin(orders[label], chosen[label])].split(CHUNK):
                    logits = classify(network, images_in_space(train, part, whitening, ctx.device))
                    right = part[logits.argmax(1).cpu() == label]
                    chosen[label] = torch.cat([chosen[label], right])[:ipc]
                    finders[label] = torch.cat([finders[label], torch.full_like(right, number)])[:ipc]
                    if len(chosen[label]) == ipc:
                        break
        return chosen, finders

    def _become(self, network: Network, expert: Expert, device: torch.device) -> None:
        """Give a network the parameters of an expert after its last epoch."""
        vector_to_parameters(expert.parameters(self.config.trajectory_epochs).to(device), network.parameters())

    def _mean_logits(
        self, network: Network, experts: list[Expert], images: Tensor, classes: Tensor, finders: Tensor
    ) -> Tensor:
        """Return (M, K) mean logits over the experts that classify an image correctly; the one that found it does."""
        total, count = torch.zeros(()), torch.zeros(())
        for number, expert in enumerate(experts):
            self._become(network, expert, images.device)
            logits = classify(network, images)
            # In chunks of another size, rounding may turn the verdict of the one that found it.
            right = ((logits.argmax(1).cpu() == classes) | (finders == number)).to(images.device)[:, None]
            total, count = total.to(logits) + logits * right, count.to(logits) + right
        return total / count


@torch.no_grad()
def classify(network: Network, images: Tensor) -> Tensor:
    """Return the (M, K) logits of (M, C, H, W) images in the students' space."""
    return torch.cat(in_chunks("expert_logits_chunk", network, images, CHUNK))
