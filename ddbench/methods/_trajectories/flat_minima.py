"""Experts in flat regions of the loss, as FTD trains them: their steps go down GSAM's gradient, not the plain one.

Papers: Du, Jiang, Tan, Zhou, Li, "Minimizing the Accumulated Trajectory Error to Improve Dataset Distillation", CVPR
2023 (arXiv 2211.11004); Zhuang et al., "Surrogate Gap Minimization Improves Sharpness-Aware Training", ICLR 2022
(arXiv 2203.08065).
Checked against: NUS-HPC-AI-Lab/DATM, buffer/buffer_FTD.py and utils/utils_gsam.py (GSAM around SGD without momentum and
weight decay; DSA is drawn once for both gradients of a step); juntang-zhuang/GSAM, gsam/gsam.py, adaptive.
Differs from it: rho has one value, as in every published run, and no schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ddbench.engine.compiled import compiling_pays
from ddbench.engine.passes import derivatives_chunk
from ddbench.images import LabeledImages, Whitening
from ddbench.method import RunContext
from ddbench.methods._trajectories.experts import ExpertConfig, ExpertMethod
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.network import InputShape, Network, make_network
from ddbench.work import PhaseWork

EPS = 1e-12  # added to every divisor; source: gsam.py


@dataclass(frozen=True)
class FlatExpertConfig(ExpertConfig):
    """How experts in flat regions are trained; the defaults are those of DATM's readme.

    `gsam_rho` is how far the weights climb before the second gradient, 0 for experts of plain SGD; `gsam_alpha` how
    much of the first gradient's part across the second is taken away.
    """

    trajectory_epochs: Annotated[int, Field(gt=0)] = 100
    gsam_rho: Annotated[float, Field(ge=0)] = 0.01
    gsam_alpha: Annotated[float, Field(ge=0)] = 0.3


class FlatExpertMethod(ExpertMethod):
    """A method whose experts are trained by GSAM."""

    Config = FlatExpertConfig

    def flat_network(self, train: LabeledImages, ctx: RunContext, passes: int, batch_size: int) -> FlatNetwork:
        """Return the experts' network, whose gradient is GSAM's where rho is not 0."""
        if not self.config.gsam_rho:
            return super().flat_network(train, ctx, passes, batch_size)
        shape = InputShape.of(train.info)
        network = make_network(self.config.network, shape, torch.Generator().manual_seed(0))
        return SharpnessAwareNetwork(
            network.requires_grad_(False).to(ctx.device),
            compiles=compiling_pays(2 * passes, shape.image_size, ctx.device),
            batch_size=batch_size,
            chunk=derivatives_chunk(self.config.network, shape, batch_size),
            rho=self.config.gsam_rho,
            alpha=self.config.gsam_alpha,
        )

    def identity(self, train: LabeledImages, whitening: Whitening | None) -> dict[str, str]:
        """Return what every expert file says about itself."""
        identity = super().identity(train, whitening)
        if self.config.gsam_rho:
            identity["training"] += f", GSAM rho {self.config.gsam_rho:g}, alpha {self.config.gsam_alpha:g}"
        return identity

    def expert_work(self, train: LabeledImages) -> PhaseWork:
        """Return the training of all experts, with two gradients a step."""
        work = super().expert_work(train)
        return PhaseWork(work.passes * 2, work.held_bytes) if self.config.gsam_rho else work


class SharpnessAwareNetwork(FlatNetwork):
    """A network whose gradient is GSAM's: that at weights which have climbed, less a part of what lies across it."""

    def __init__(
        self, network: Network, *, compiles: bool, batch_size: int, chunk: int | None, rho: float, alpha: float
    ) -> None:
        super().__init__(network, compiles=compiles, batch_size=batch_size, chunk=chunk)
        self._rho, self._alpha = rho, alpha

    def gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient that a step goes down, (P,)."""
        first = super().gradient(parameters, images, labels)
        climbed = parameters + climb(parameters, first, self._rho)
        return descent(first, super().gradient(climbed, images, labels), self._alpha)

    def gradients(self, parameters: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return (E, P) gradients of E networks at once: parameters (E, P), images (E, B, C, H, W), labels (E, B)."""
        first = super().gradients(parameters, images, labels)
        climbed = parameters + climb(parameters, first, self._rho)
        return descent(first, super().gradients(climbed, images, labels), self._alpha)


def climb(parameters: Tensor, gradient: Tensor, rho: float) -> Tensor:
    """Return the adaptive step up, rho w^2 g / ||w g||, of the same shape as parameters w and gradient g, (..., P)."""
    return parameters.square() * gradient * (rho / (_norm(parameters * gradient) + EPS))


def descent(first: Tensor, second: Tensor, alpha: float) -> Tensor:
    """Return the second gradient less alpha times the first's part across it, all (..., P)."""
    lengths = _norm(first), _norm(second)
    cosine = (first * second).sum(-1, keepdim=True) / (lengths[0] * lengths[1] + EPS)
    across = first - cosine * lengths[0] * second / (lengths[1] + EPS)
    return second - alpha * across


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return norm
