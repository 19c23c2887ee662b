"""DM: synthetic images whose mean embeddings match the real ones in random networks.

Paper: Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023 (arXiv 2110.04181), equation 5.
Checked against: VICO-UoE/DatasetCondensation, main_DM.py.
Differs from it: the real branch runs without gradient in chunks that fit the processor's cache, and the synthetic
branch runs for all classes at once; with a network without batch norm both give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.method import METHODS, Method, RunContext
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import dsa_strategy
from ddbench.records import DistilledDataset, LabeledImages
from ddbench.training import channels_last, chunk_size


def mean_embedding_gap(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the sum over classes of squared distances of (K, D) mean embeddings, () (equation 5)."""
    return (real_means - synthetic_means).square().sum()


def mean_real_embeddings(network: Network, batches: list[Tensor], draws: list[Draw]) -> Tensor:
    """Return (K, D) mean embeddings, without gradient, of K lists of (B, C, H, W) normalised images.

    A network with batch norm sees all classes in one forward, as in the reference code; others see cache-sized chunks.
    """
    with torch.no_grad():
        augmented = [channels_last(apply_dsa(images, draw)) for images, draw in zip(batches, draws, strict=True)]
        if has_batch_norm(network):
            embeddings = network.embed(torch.cat(augmented))
            return torch.stack([part.mean(0) for part in embeddings.split([len(images) for images in batches])])
        size = chunk_size(batches[0].device)
        return torch.stack([sum_over_chunks(network, images.split(size)).div(len(images)) for images in augmented])


def sum_over_chunks(network: Network, chunks: tuple[Tensor, ...]) -> Tensor:
    """Return the (D,) sum of the embeddings of all images in `chunks`."""
    return torch.stack([network.embed(chunk).sum(0) for chunk in chunks]).sum(0)


def mean_synthetic_embeddings(network: Network, synthetic: Tensor, draws: list[Draw]) -> Tensor:
    """Return (K, D) mean embeddings of (K * ipc, C, H, W) images sorted by class, all classes in one forward."""
    classes = synthetic.chunk(len(draws))
    augmented = torch.cat([apply_dsa(images, draw) for images, draw in zip(classes, draws, strict=True)])
    embeddings = network.embed(channels_last(augmented))
    return embeddings.view(len(draws), -1, embeddings.shape[1]).mean(1)


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether statistics of the batch enter the network's output."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


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
        start = torch.cat([self._draw(indices, ipc, ctx.generator) for indices in classes])
        synthetic = train.normalised(start, ctx.device).requires_grad_()
        optimiser = torch.optim.SGD([synthetic], lr=config.image_lr, momentum=config.image_momentum)
        for step in ctx.track(range(config.steps), "matching distributions"):
            loss = self._match(train, classes, synthetic, ctx)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if step % 100 == 0:
                ctx.log(f"loss[{step}]", loss.item())
        return DistilledDataset(
            images=synthetic.detach().cpu(),
            labels=torch.arange(train.num_classes).repeat_interleave(ipc),
            num_classes=train.num_classes,
            ipc=ipc,
        )

    def _match(self, train: LabeledImages, classes: list[Tensor], synthetic: Tensor, ctx: RunContext) -> Tensor:
        """Return the loss () of one step: a fresh network, one DSA draw and one real batch per class."""
        network = make_network(self.config.network, InputShape.of(train.info), ctx.generator)
        network = network.requires_grad_(False).to(ctx.device).to(memory_format=torch.channels_last)
        strategy = dsa_strategy(train.info.name)
        draws = [draw_dsa(ctx.generator, strategy, 1, siamese=True) for _ in classes]
        batches = [
            train.normalised(self._draw(indices, self.config.real_batch_size, ctx.generator), ctx.device)
            for indices in classes
        ]
        real_means = mean_real_embeddings(network, batches, draws)
        return mean_embedding_gap(real_means, mean_synthetic_embeddings(network, synthetic, draws))

    @staticmethod
    def _draw(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw up to `count` distinct entries of `indices`."""
        return indices[torch.randperm(len(indices), generator=generator)[:count]]
