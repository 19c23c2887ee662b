"""DM: synthetic images whose mean embeddings match the real ones in random networks.

Paper: Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023 (arXiv 2110.04181), equation 5.
Checked against: VICO-UoE/DatasetCondensation, main_DM.py.
Differs from it: the real branch runs without gradient in chunks that fit the processor's cache, compiled for long
runs, and the synthetic branch runs for all classes at once; with a network without batch norm the numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.chunking import in_chunks
from ddbench.engine import Engine, compiling_pays
from ddbench.method import METHODS, Method, RunContext
from ddbench.methods._learning import Learner
from ddbench.methods._selection import draw_distinct, draw_real
from ddbench.network import InputShape, Network, has_batch_norm, make_network
from ddbench.protocol import dsa_strategy
from ddbench.records import DistilledDataset, LabeledImages
from ddbench.training import channels_last, chunk_size
from ddbench.work import TRAINING, MethodWork, Passes, PhaseWork, image_bytes


def mean_embedding_gap(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the sum over classes of squared distances of (K, D) mean embeddings, () (equation 5)."""
    return (real_means - synthetic_means).square().sum()


class RealBranch:
    """Mean embeddings of real images, without gradient, in a new network each time; compiled once where that pays."""

    def __init__(self, network: Network, *, compiles: bool) -> None:
        # Compiled code keeps this network's structure and is handed each new network's parameters.
        template = Embedding(network)
        self.embed = Engine(lambda state, images: functional_call(template, state, (images,)), compiles=compiles)

    @torch.no_grad()
    def means(self, network: Network, batches: list[Tensor], draws: list[Draw]) -> Tensor:
        """Return (K, D) means over each of K batches of (B, C, H, W) normalised images, augmented by their draws.

        A network with batch norm sees all classes in one forward, as in the reference code; others see chunks.
        """
        state = Embedding(network).state_dict()
        augmented = [channels_last(apply_dsa(images, draw)) for images, draw in zip(batches, draws, strict=True)]
        if has_batch_norm(network):
            embeddings = network.embed(torch.cat(augmented))
            return torch.stack([part.mean(0) for part in embeddings.split([len(images) for images in batches])])
        size = chunk_size(batches[0].device)
        sums = [
            torch.stack(in_chunks("real_chunk", lambda chunk: self.embed(state, chunk).sum(0), part, size))
            for part in augmented
        ]
        return torch.stack([chunks.sum(0) / len(part) for chunks, part in zip(sums, augmented, strict=True)])


class Embedding(nn.Module):
    """A network's embedding as a module, so that its parameters can be handed in."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, D) embeddings of (B, C, H, W) normalised images."""
        return self.network.embed(images)


def mean_synthetic_embeddings(network: Network, synthetic: Tensor, draws: list[Draw]) -> Tensor:
    """Return (K, D) mean embeddings of (K * ipc, C, H, W) images sorted by class, all classes in one forward."""
    classes = synthetic.chunk(len(draws))
    augmented = torch.cat([apply_dsa(images, draw) for images, draw in zip(classes, draws, strict=True)])
    embeddings = network.embed(channels_last(augmented))
    return embeddings.view(len(draws), -1, embeddings.shape[1]).mean(1)


@METHODS.register("dm")
class DistributionMatching(Method):
    """Distribution matching with Siamese DSA, one fresh random network per step."""

    smoke_settings: ClassVar[dict[str, Any]] = {"network": "convnet-d1-w8", "steps": 3, "real_batch_size": 16}

    @dataclass(frozen=True)
    class Config:
        """Settings of the paper's CIFAR-10 rows (reference code's defaults); `image_lr` is 10 there from IPC 100 on."""

        network: str = "convnet-d3"
        steps: Annotated[int, Field(gt=0)] = 20_000
        image_lr: Annotated[float, Field(gt=0)] = 1.0
        image_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
        real_batch_size: Annotated[int, Field(gt=0)] = 256

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) float32 normalised images, sorted by class, started from random real ones."""
        config = self.config
        classes = [train.of_class(label) for label in range(train.num_classes)]
        start = torch.cat(draw_real(train, ipc, ctx.generator))
        synthetic = train.normalised(start, ctx.device).requires_grad_()
        optimiser = torch.optim.SGD([synthetic], lr=config.image_lr, momentum=config.image_momentum)
        num_real = config.steps * sum(min(config.real_batch_size, len(indices)) for indices in classes)
        compiles = compiling_pays(num_real, train.info.image_size, ctx.device)
        real_branch = RealBranch(self._make_network(train, ctx), compiles=compiles)
        learner = Learner(optimiser, ctx.generator)
        for step in ctx.track(range(config.steps), "matching distributions", learner):
            loss = self._match(train, classes, synthetic, real_branch, ctx)
            learner.step(loss)
            if step % 100 == 0:
                ctx.log(f"loss[{step}]", loss.item())
        return DistilledDataset(
            images=synthetic.detach().cpu(),
            labels=torch.arange(train.num_classes).repeat_interleave(ipc),
            num_classes=train.num_classes,
            ipc=ipc,
            provenance={"engine": {"real_branch": real_branch.embed.mode}},
        )

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return a forward pass of the real batches and a forward and backward pass of all images in each step."""
        config, shape = self.config, InputShape.of(train.info)
        num_real = sum(min(config.real_batch_size, int(count)) for count in train.class_counts())
        num_synthetic = train.num_classes * ipc
        real = Passes(config.network, config.steps * num_real, chunk_size(torch.device("cpu")))
        synthetic = Passes(config.network, config.steps * num_synthetic, num_synthetic, TRAINING)
        held = image_bytes(2 * num_real + 4 * num_synthetic, shape)  # as drawn and augmented; with momentum, gradient
        return MethodWork(PhaseWork((real, synthetic), held))

    def _match(
        self,
        train: LabeledImages,
        classes: list[Tensor],
        synthetic: Tensor,
        real_branch: RealBranch,
        ctx: RunContext,
    ) -> Tensor:
        """Return the loss () of one step: a fresh network, one DSA draw and one real batch per class."""
        network = self._make_network(train, ctx)
        strategy = dsa_strategy(train.info.name)
        draws = [draw_dsa(ctx.generator, strategy, 1, siamese=True) for _ in classes]
        batches = [
            train.normalised(draw_distinct(indices, self.config.real_batch_size, ctx.generator), ctx.device)
            for indices in classes
        ]
        real_means = real_branch.means(network, batches, draws)
        return mean_embedding_gap(real_means, mean_synthetic_embeddings(network, synthetic, draws))

    def _make_network(self, train: LabeledImages, ctx: RunContext) -> Network:
        network = make_network(self.config.network, InputShape.of(train.info), ctx.generator)
        return network.requires_grad_(False).to(ctx.device).to(memory_format=torch.channels_last)
