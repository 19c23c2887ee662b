"""DM: synthetic images whose mean embeddings match the real ones in random networks.

Paper: Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023 (arXiv 2110.04181), equation 5.
Checked against: VICO-UoE/DatasetCondensation, main_DM.py.
Differs from it: the real branch runs without gradient, and both run in chunks that fit the processor's cache, in the
network's native form; with a network without batch norm the numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.augment.strategies import dsa_strategy
from ddbench.engine.arithmetic import send_network
from ddbench.engine.chunks import in_chunks
from ddbench.engine.compiled import in_precision
from ddbench.method import METHODS, Method, RunContext
from ddbench.methods._coresets.selection import draw_distinct, draw_real
from ddbench.methods._learning.learner import Learner
from ddbench.network import InputShape, Network, has_batch_norm, make_network
from ddbench.records import UNBOUNDED, DistilledDataset, LabeledImages
from ddbench.students.loop import channels_last, chunk_size
from ddbench.training_recipe import MethodPrecision
from ddbench.work import BY_IMAGES, MethodWork, Passes, PhaseWork, image_bytes


def mean_embedding_gap(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the sum over classes of squared distances of (K, D) mean embeddings, () (equation 5)."""
    return (real_means - synthetic_means).square().sum()


@torch.no_grad()
def mean_real_embeddings(
    network: Network, batches: list[Tensor], draws: list[Draw], precision: MethodPrecision = "fp32"
) -> Tensor:
    """Return (K, D) means over each of K batches of (B, C, H, W) normalised images, augmented by their draws.

    A network with batch norm sees all classes in one forward, as in the reference code; others see chunks.
    """
    augmented = [channels_last(apply_dsa(images, draw)) for images, draw in zip(batches, draws, strict=True)]
    if has_batch_norm(network):
        embeddings = network.embed(torch.cat(augmented))
        return torch.stack([part.mean(0) for part in embeddings.split([len(images) for images in batches])])

    def total(images: Tensor) -> Tensor:
        with in_precision(precision, images.device):
            embeddings = network.embed(images)
        return (embeddings.float() if precision == "bf16" else embeddings).sum(0)

    size = chunk_size(batches[0].device, precision)
    sums = [torch.stack(in_chunks("real_chunk", total, part, size)).sum(0) for part in augmented]
    return torch.stack([total / len(part) for total, part in zip(sums, augmented, strict=True)])


def gap_and_gradient(
    network: Network, synthetic: Tensor, draws: list[Draw], real_means: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss, (), and its gradient by (K * ipc, C, H, W) images sorted by class.

    A few classes at a time, since no class's part needs another's; a network with batch norm sees all of them in one
    forward, as in the reference code.
    """
    ipc = len(synthetic) // len(draws)

    def part(classes: Tensor) -> tuple[Tensor, Tensor]:
        first, end = int(classes[0]), int(classes[-1]) + 1
        images = synthetic[first * ipc : end * ipc].detach().requires_grad_()
        loss = mean_embedding_gap(real_means[first:end], mean_synthetic_embeddings(network, images, draws[first:end]))
        return loss.detach(), torch.autograd.grad(loss, images)[0]

    limit = len(synthetic) if has_batch_norm(network) else chunk_size(synthetic.device)
    size = classes_at_once(len(draws), ipc, limit)
    losses, gradients = zip(*in_chunks("synthetic_classes", part, torch.arange(len(draws)), size), strict=True)
    return torch.stack(losses).sum(), torch.cat(gradients)


def classes_at_once(num_classes: int, ipc: int, limit: int) -> int:
    """Return the most classes, a divisor of their number, whose images together are at most `limit`; one at least."""
    return max(size for size in range(1, num_classes + 1) if num_classes % size == 0 and size * ipc <= max(limit, ipc))


def mean_synthetic_embeddings(network: Network, synthetic: Tensor, draws: list[Draw]) -> Tensor:
    """Return (K, D) mean embeddings of (K * ipc, C, H, W) images sorted by class, all classes in one forward."""
    return mean_embeddings(network.embed(augment_classes(synthetic, draws)), len(draws))


def augment_classes(images: Tensor, draws: list[Draw]) -> Tensor:
    """Return (k * ipc, C, H, W) images sorted by class, each class augmented by its own of k draws."""
    classes = images.chunk(len(draws))
    return channels_last(torch.cat([apply_dsa(part, draw) for part, draw in zip(classes, draws, strict=True)]))


def mean_embeddings(embeddings: Tensor, num_classes: int) -> Tensor:
    """Return (k, D) class means of (k * ipc, D) embeddings sorted by class."""
    return embeddings.view(num_classes, -1, embeddings.shape[1]).mean(1)


@METHODS.register("dm")
class DistributionMatching(Method):
    """Distribution matching with Siamese DSA, one fresh random network per step."""

    smoke_settings: ClassVar[dict[str, Any]] = {"network": "convnet-d1-w8", "steps": 3, "real_batch_size": 16}

    @dataclass(frozen=True)
    class Config:
        """Settings of the paper's CIFAR-10 rows (reference code's defaults); `image_lr` is 10 there from IPC 100 on.

        With `real_precision` bf16 the real images' embeddings, which have no gradient, are computed by autocast.
        """

        network: str = "convnet-d3"
        steps: Annotated[int, Field(gt=0)] = 20_000
        image_lr: Annotated[float, Field(gt=0)] = 1.0
        image_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
        real_batch_size: Annotated[int, Field(gt=0)] = 256
        real_precision: MethodPrecision = "fp32"

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) float32 normalised images, sorted by class, started from random real ones."""
        config, train = self.config, train.on(ctx.device)
        classes = [train.of_class(label) for label in range(train.num_classes)]
        start = torch.cat(draw_real(train, ipc, ctx.generator))
        synthetic = train.normalised(start, ctx.device).requires_grad_()
        optimiser = torch.optim.SGD([synthetic], lr=config.image_lr, momentum=config.image_momentum)
        # Drawn before the loop to say how networks pass; the draws after it are those of every recorded set.
        network = self._make_network(train, ctx)
        passes = "eager" if network.native() is network else "native"
        learner = Learner(optimiser, ctx.generator)
        for step in ctx.track(range(config.steps), "matching distributions", learner):
            network, draws, batches = self._draw(train, classes, ctx)
            passed = network.native()
            real_means = mean_real_embeddings(passed, batches, draws, config.real_precision)
            loss, gradient = gap_and_gradient(passed, synthetic, draws, real_means)
            learner.descend([gradient])
            if step % 100 == 0:
                ctx.log(f"loss[{step}]", loss.item())
        return DistilledDataset(
            images=synthetic.detach().cpu(),
            labels=torch.arange(train.num_classes).repeat_interleave(ipc),
            num_classes=train.num_classes,
            ipc=ipc,
            provenance={"pixel_margin": UNBOUNDED, "engine": {"passes": passes}},
        )

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return a forward pass of the real batches and a forward and backward pass of all images in each step."""
        config, shape = self.config, InputShape.of(train.info)
        num_real = sum(min(config.real_batch_size, int(count)) for count in train.class_counts())
        num_synthetic = train.num_classes * ipc
        real = Passes(config.network, config.steps * num_real, chunk_size(torch.device("cpu")), is_native=True)
        synthetic = Passes(config.network, config.steps * num_synthetic, num_synthetic, BY_IMAGES, is_native=True)
        held = image_bytes(2 * num_real + 4 * num_synthetic, shape)  # as drawn and augmented; with momentum, gradient
        return MethodWork(PhaseWork((real, synthetic), held))

    def _draw(
        self, train: LabeledImages, classes: list[Tensor], ctx: RunContext
    ) -> tuple[Network, list[Draw], list[Tensor]]:
        """Return a step's fresh network, one DSA draw per class and one real batch per class."""
        network = self._make_network(train, ctx)
        strategy = dsa_strategy(train.info)
        draws = [draw_dsa(ctx.generator, strategy, 1, siamese=True) for _ in classes]
        batches = [
            train.normalised(draw_distinct(indices, self.config.real_batch_size, ctx.generator), ctx.device)
            for indices in classes
        ]
        return network, draws, batches

    def _make_network(self, train: LabeledImages, ctx: RunContext) -> Network:
        network = make_network(self.config.network, InputShape.of(train.info), ctx.generator)
        send_network(network.requires_grad_(False), ctx.device)
        return network.to(memory_format=torch.channels_last)
