"""DM: learns images whose mean embeddings in random networks match those of real images.

Paper: Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023 (arXiv 2110.04181), equation 5.
Checked against: VICO-UoE/DatasetCondensation, main_DM.py.
Differs from it: the real branch runs without gradient, and both run in chunks that fit the processor's cache, in the
network's native form; with a network without batch norm the numbers are the same. Real images are drawn and passed one
class after another. A network with batch norm sees all classes at once, as there, up to `WHOLE_BYTES` of real images:
beyond, groups of classes, whose statistics are their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa
from ddbench.augment.strategies import dsa_strategy
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.arithmetic import send_network
from ddbench.engine.chunks import in_chunks
from ddbench.engine.compiled import in_precision
from ddbench.images import LabeledImages
from ddbench.inputs.pixel_margin import UNBOUNDED
from ddbench.method import METHODS, Method, RunContext
from ddbench.methods._coresets.selection import draw_distinct, draw_real
from ddbench.methods._learning.learner import Learner
from ddbench.network import InputShape, Network, has_batch_norm, make_network
from ddbench.students.loop import channels_last, chunk_size
from ddbench.training_recipe import MethodPrecision
from ddbench.work import BY_IMAGES, MethodWork, Passes, PhaseWork, image_bytes

# Of float32 real images that batch norm sees at once; our choice: all 100 classes of CIFAR fit, the 200 of Tiny
# ImageNet do not.
WHOLE_BYTES = 2**30


def mean_embedding_gap(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the sum over classes of squared distances of (K, D) mean embeddings, () (equation 5)."""
    return (real_means - synthetic_means).square().sum()


@torch.no_grad()
def mean_real_embeddings(
    network: Network,
    batches: Iterable[Tensor],
    draws: Sequence[Draw],
    precision: MethodPrecision = "fp32",
    together: int | None = None,
) -> Tensor:
    """Return (K, D) means over each of K batches of (B, C, H, W) normalised images, augmented by their draws.

    A network with batch norm sees `together` classes in one forward, all of them where None, as in the reference code;
    others see chunks of one class, so that `batches` may be made one by one.
    """
    augmented = (channels_last(apply_dsa(images, draw)) for images, draw in zip(batches, draws, strict=True))
    if has_batch_norm(network):
        return torch.cat([_means_of_group(network, group) for group in _groups(augmented, together or len(draws))])

    def mean(images: Tensor) -> Tensor:
        size = chunk_size(images.device, precision)
        return torch.stack(in_chunks("real_chunk", total, images, size)).sum(0) / len(images)

    def total(images: Tensor) -> Tensor:
        with in_precision(precision, images.device):
            embeddings = network.embed(images)
        return (embeddings.float() if precision == "bf16" else embeddings).sum(0)

    return torch.stack([mean(images) for images in augmented])


def _groups(batches: Iterator[Tensor], size: int) -> Iterator[list[Tensor]]:
    while group := list(islice(batches, size)):
        yield group


def _means_of_group(network: Network, batches: Sequence[Tensor]) -> Tensor:
    embeddings = network.embed(torch.cat(list(batches)))
    return torch.stack([part.mean(0) for part in embeddings.split([len(images) for images in batches])])


def gap_and_gradient(
    network: Network, synthetic: Tensor, draws: list[Draw], real_means: Tensor, together: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss, (), and its gradient by (K * ipc, C, H, W) images sorted by class.

    A few classes at a time, since no class's part needs another's; a network with batch norm sees `together` of them in
    one forward, all where None, as in the reference code.
    """
    ipc = len(synthetic) // len(draws)

    def part(classes: Tensor) -> tuple[Tensor, Tensor]:
        first, end = int(classes[0]), int(classes[-1]) + 1
        images = synthetic[first * ipc : end * ipc].detach().requires_grad_()
        loss = mean_embedding_gap(real_means[first:end], mean_synthetic_embeddings(network, images, draws[first:end]))
        return loss.detach(), torch.autograd.grad(loss, images)[0]

    size = classes_at_once(len(draws), ipc, chunk_size(synthetic.device))
    if has_batch_norm(network):
        size = together or len(draws)
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
        engine = {"passes": "eager" if network.native() is network else "native"}
        together = self._together(train, ipc) if has_batch_norm(network) else None
        if together not in (None, train.num_classes):
            engine["batch_norm_sees"] = f"{together} classes at once"
        learner = Learner(optimiser, ctx.generator)
        for step in ctx.track(range(config.steps), "matching distributions", learner):
            network, draws = self._draw(train, ctx)
            passed, batches = network.native(), self._draw_batches(train, classes, ctx)
            real_means = mean_real_embeddings(passed, batches, draws, config.real_precision, together)
            loss, gradient = gap_and_gradient(passed, synthetic, draws, real_means, together)
            learner.descend([gradient])
            if step % 100 == 0:
                ctx.log(f"loss[{step}]", loss.item())
                if ctx.shows_images:
                    ctx.log(f"images[{step}]", synthetic)
        return DistilledDataset(
            images=synthetic.detach().cpu(),
            labels=torch.arange(train.num_classes).repeat_interleave(ipc),
            num_classes=train.num_classes,
            ipc=ipc,
            provenance={"pixel_margin": UNBOUNDED, "engine": engine},
        )

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return a forward pass of the real batches and a forward and backward pass of all images in each step."""
        config, shape = self.config, InputShape.of(train.info)
        counts = train.class_counts().clamp(max=config.real_batch_size)
        num_real, largest, num_synthetic = int(counts.sum()), int(counts.max()), train.num_classes * ipc
        chunk = chunk_size(torch.device("cpu"))
        at_once = ipc * classes_at_once(train.num_classes, ipc, chunk)
        held = image_bytes(2 * largest + 4 * num_synthetic, shape)  # as drawn and augmented; with momentum, gradient
        if has_batch_norm(make_network(config.network, shape, torch.Generator())):
            together = self._together(train, ipc)
            chunk, at_once = together * largest, together * ipc
            held = image_bytes(2 * chunk + 4 * num_synthetic, shape)
        real = Passes(config.network, config.steps * num_real, chunk, is_native=True)
        synthetic = Passes(config.network, config.steps * num_synthetic, at_once, BY_IMAGES, is_native=True)
        return MethodWork(PhaseWork((real, synthetic), held))

    def _together(self, train: LabeledImages, ipc: int) -> int:
        """Return how many classes a network with batch norm sees at once."""
        limit = WHOLE_BYTES // image_bytes(1, InputShape.of(train.info))
        return classes_at_once(train.num_classes, max(self.config.real_batch_size, ipc), limit)

    def _draw(self, train: LabeledImages, ctx: RunContext) -> tuple[Network, list[Draw]]:
        """Return a step's fresh network and one DSA draw per class; one real batch per class is drawn after them."""
        network = self._make_network(train, ctx)
        strategy = dsa_strategy(train.info)
        return network, [draw_dsa(ctx.generator, strategy, 1, siamese=True) for _ in range(train.num_classes)]

    def _draw_batches(self, train: LabeledImages, classes: list[Tensor], ctx: RunContext) -> Iterator[Tensor]:
        """Yield one real batch per class, each drawn and read when it is asked for."""
        for indices in classes:
            drawn = draw_distinct(indices, self.config.real_batch_size, ctx.generator)
            yield train.normalised(drawn, ctx.device)

    def _make_network(self, train: LabeledImages, ctx: RunContext) -> Network:
        network = make_network(self.config.network, InputShape.of(train.info), ctx.generator)
        send_network(network.requires_grad_(False), ctx.device)
        return network.to(memory_format=torch.channels_last)
