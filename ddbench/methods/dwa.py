"""DWA: SRe2L started from real images, with a teacher that is first moved to be slightly less sure of them.

Paper: Du, Zhang, Hu, Huang, Zhou, "Diversity-Driven Synthesis: Enhancing Dataset Distillation through Directed Weight
Adjustment", NeurIPS 2024 (arXiv 2409.17612): the teacher's weights climb its own cross-entropy on each batch, and the
variances of batch statistics have a weight of their own.
Checked against: AngusDujw/Diversity-Driven-Synthesis, distillation/ and scripts/.
Differs from it: each batch starts at the teacher's own weights; there the shift stays for the other batches of one
image index, whose first climb also follows what gradients the batch before has left. The first gradient of images does
not hold those of the climbs. Images start from random real ones of this data set; the teacher is trained here unless
`teacher` names published weights; images are rounded to 8 bits and not kept as JPEG, and labels are hard: a protocol
with a teacher relabels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import METHODS, RunContext, check_ipc
from ddbench.methods._coresets.selection import draw_real
from ddbench.methods._teacher.batch_statistics import watched_statistics
from ddbench.methods._teacher.class_recovery import ClassRecoveryMethod, Recipe, augment
from ddbench.methods._teacher.recipes import recipe_for
from ddbench.methods._teacher.recovery import FIRST_FACTOR, new_recovery, recover
from ddbench.network import Network
from ddbench.students.loop import channels_last

EPS = 1e-12


@dataclass(frozen=True)
class DirectedRecipe(Recipe):
    """The same, and the weight of variances, how many steps a teacher climbs, and how many classes are a batch."""

    variance_weight: float
    climbs: int
    classes_at_once: int


class DirectedWeights:
    """The weights of a teacher and their shift for the images recovered now, a `Resumable` state.

    Args:
        network: in evaluation mode, without gradients of its parameters.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._own = {name: value.clone() for name, value in network.named_parameters()}

    def climb(self, images: Tensor, labels: Tensor, climbs: int, rho: float) -> None:
        """Go from the teacher's own weights `climbs` steps of length rho / climbs up its cross-entropy.

        Args:
            images: (B, C, S, S) normalised.
            labels: (B,) int64.
            climbs: how many steps.
            rho: length of them all.
        """
        self.load_state(self._own)
        weights = list(self._network.parameters())
        for _ in range(climbs):
            for weight in weights:
                weight.requires_grad_()
            gradients = torch.autograd.grad(F.cross_entropy(self._network(images), labels), weights)
            length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients]))
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.requires_grad_(False).add_(gradient * (rho / climbs / (length + EPS)))

    def save_state(self) -> dict[str, Tensor]:
        """Return the weights as they are now."""
        return {name: value.clone() for name, value in self._network.named_parameters()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to saved weights."""
        for name, value in self._network.named_parameters():
            value.copy_(state[name])


@METHODS.register("dwa")
class DWA(ClassRecoveryMethod):
    """`ipc` images of each class, one of each class at a time, from real ones."""

    recipes: ClassVar[Mapping[int, DirectedRecipe]] = {  # CIFAR, Tiny ImageNet, ImageNet
        32: DirectedRecipe(1000, 0.25, 0.01, 4, "none", 11.0, 12, 100),
        64: DirectedRecipe(2000, 0.1, 0.01, 4, "constant", 11.0, 12, 200),
        224: DirectedRecipe(2000, 0.25, 0.01, 32, "constant", 2.0, 15, 100),
    }

    @dataclass(frozen=True)
    class Config(ClassRecoveryMethod.Config):
        """Those of SRe2L, the weight of variances and the teacher's climb: its steps and its length, `rho`.

        None is what the authors have for images of that size.
        """

        classes_at_once: Annotated[int, Field(gt=0)] | None = None
        variance_weight: Annotated[float, Field(ge=0)] | None = None
        climbs: Annotated[int, Field(ge=0)] | None = None
        rho: Annotated[float, Field(ge=0)] = 0.015

    def recipe(self, info: DatasetInfo) -> DirectedRecipe:
        """Return the authors' recipe for the images' size, with what the settings say."""
        return recipe_for(self.recipes, info, self.config)

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where a class has fewer images to start from, or the teacher no batch norm."""
        return check_ipc(train, ipc) or super().unsupported(train, ipc)

    def classes_at_once(self, info: DatasetInfo) -> int:
        """Return the most classes whose images are recovered together, for which the teacher climbs."""
        return self.recipe(info).classes_at_once

    def steps_of(self, info: DatasetInfo) -> int:
        """Return how often an image goes through the teacher, climbing included."""
        return super().steps_of(info) + self.recipe(info).climbs

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) uint8 pixels, sorted by class."""
        teacher, info, recipe = self.load_teacher(train, ctx), train.info, self.recipe(train.info)
        directed, chosen = DirectedWeights(teacher), torch.cat(draw_real(train, ipc, ctx.generator))
        with watched_statistics(teacher, recipe.variance_weight) as gaps:

            def loss_of(images: Tensor, places: Tensor, step: int, iteration: int) -> Tensor:
                labels = (places // ipc).to(ctx.device)
                seen = channels_last(augment(images, info, recipe, step, ctx.generator))
                if step == 0:
                    directed.climb(seen.detach(), labels, recipe.climbs, self.config.rho)
                    gaps.forget()
                sureness = F.cross_entropy(teacher(seen), labels)
                loss: Tensor = sureness + recipe.statistics_weight * gaps.take(FIRST_FACTOR)
                return loss

            def start(places: Tensor) -> Tensor:
                return train.normalised(chosen[places], ctx.device)

            state = new_recovery(train, ipc, ctx, {"teacher": directed})
            images = recover(state, self.batches(train, ipc), recipe.steps, recipe.lr, loss_of, info, ctx, start)
        return self.made_set(images, train, ipc, ctx)
