"""K-means: selects the real image nearest to each of `ipc` cluster centres of its class's features.

Paper: none in particular; clustering is scikit-learn's KMeans (k-means++ start, Lloyd). Differs from it: nothing known.
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
from ddbench.methods._coresets.features import FeatureConfig, FeatureMethod
from ddbench.methods._coresets.selection import select_real
from ddbench.seeding import draw_seed


def nearest_to_centers(features: Tensor, centers: Tensor) -> Tensor:
    """Return (k,) int64 positions of distinct rows of (n, D) features, the free one nearest to each (k, D) centre."""
    distances = torch.cdist(features, centers)
    chosen: list[int] = []
    for column in distances.unbind(1):
        column = column.clone()
        column[chosen] = float("inf")
        chosen.append(int(column.argmin()))
    return torch.tensor(chosen)


@METHODS.register("k_means")
class KMeans(FeatureMethod):
    """`ipc` images of each class, one per cluster."""

    prepare_ignores: ClassVar[tuple[str, ...]] = ("restarts",)

    @dataclass(frozen=True)
    class Config(FeatureConfig):
        """Settings; `restarts` are k-means starts of which the tightest counts (our choice)."""

        restarts: Annotated[int, Field(gt=0)] = 3

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels, sorted by class."""
        from sklearn.cluster import KMeans as Clustering

        def select(features: Tensor) -> Tensor:
            clustering = Clustering(ipc, n_init=self.config.restarts, random_state=draw_seed(ctx.generator) % 2**32)
            centers = clustering.fit(features.numpy()).cluster_centers_
            return nearest_to_centers(features, torch.from_numpy(centers))

        return select_real(train, self.choose(train, ctx, select), ipc)
