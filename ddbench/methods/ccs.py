"""CCS: drops the hardest images and selects the rest from strata of difficulty, the fullest strata first.

Paper: Zheng et al., "Coverage-centric Coreset Selection for High Pruning Rates", ICLR 2023 (arXiv 2210.15809),
algorithm 1. Checked against: haizhongzheng/Coverage-centric-coreset-selection, `core/data/Coreset.py`.
Differs from it: within each class; margins are of whole epochs, see `training_scores`. As the algorithm has it, a
budget below the number of strata goes to as many of the fullest ones, an image each; from there on all are covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import select_real
from ddbench.methods._coresets.training_scores import ScoreConfig, ScoreMethod


def share_out(count: int, sizes: Tensor) -> Tensor:
    """Return (k,) int64, how many of `count` images each stratum gives, of (k,) int64 sizes.

    From the smallest stratum on, each gives an equal share of what is left, or all that it has.
    """
    given, left = torch.zeros_like(sizes), count
    for done, stratum in enumerate(sizes.argsort(stable=True).tolist()):
        given[stratum] = min(int(sizes[stratum]), left // (len(sizes) - done))
        left -= int(given[stratum])
    return given


def cover(scores: Tensor, count: int, strata: int, generator: torch.Generator) -> Tensor:
    """Return (count,) int64 positions of (n,) scores, drawn from equally wide strata of them."""
    low, high = float(scores.min()), float(scores.max())
    width = (high - low) / strata
    places = ((scores - low) / width).long().clamp(max=strata - 1) if width > 0 else torch.zeros_like(scores).long()
    given = share_out(count, places.bincount(minlength=strata))
    chosen = []
    for stratum in range(strata):
        pool = (places == stratum).nonzero()[:, 0]
        chosen.append(pool[torch.randperm(len(pool), generator=generator)[: int(given[stratum])]])
    return torch.cat(chosen)


@METHODS.register("ccs")
class CCS(ScoreMethod):
    """`ipc` images of each class from strata of its margins, but for the lowest."""

    prepare_ignores: ClassVar[tuple[str, ...]] = ("hard_fraction", "strata")

    @dataclass(frozen=True)
    class Config(ScoreConfig):
        """Settings: what part of a class, that of the lowest margins, is left out, and how many strata the rest has.

        The authors leave out 0.3 of CIFAR-10 where they keep a tenth of it; less where too few would remain.
        """

        hard_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.3
        strata: Annotated[int, Field(gt=0)] = 50

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels, class by class from the hardest stratum to the easiest."""
        chosen = []
        for indices, margins in self.scores_by_class(train, ctx, "margin"):
            left_out = min(int(self.config.hard_fraction * len(margins)), len(margins) - ipc)
            kept = margins.argsort(stable=True)[left_out:]
            chosen.append(indices[kept[cover(margins[kept], ipc, self.config.strata, ctx.generator)]])
        return select_real(train, chosen, ipc)
