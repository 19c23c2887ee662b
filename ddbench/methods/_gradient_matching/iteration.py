"""Gradient matching: the iteration that `dc` and `dsa` share.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import apply_dsa, draw_dsa, dsa_augment
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.arithmetic import send_network
from ddbench.engine.chunks import even_size
from ddbench.engine.compiled import compiling_pays
from ddbench.images import LabeledImages
from ddbench.inputs.pixel_margin import UNBOUNDED
from ddbench.method import ADDED, Method, RunContext
from ddbench.methods._coresets.selection import draw_distinct
from ddbench.methods._gradient_matching.gradients import NetworkGradients, Tensors, gradient_chunk_size
from ddbench.methods._learning.learner import Learner
from ddbench.network import InputShape, has_batch_norm, make_network
from ddbench.training_recipe import MethodPrecision
from ddbench.work import META, TRAINING, MethodWork, Passes, PhaseWork, image_bytes

# (outer loops, inner epochs) by IPC, as in the reference code, which defines no others.
LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}


def loops_for(ipc: int) -> tuple[int, int]:
    """Return (outer loops, inner epochs) for an IPC of at least 1.

    The reference code has them for IPC 1, 10, 20, 30, 40 and 50. Every other takes those of the largest of these below
    it, our choice: 2 to 9 match once per network like 1, and beyond 50 the work stops growing.
    """
    return LOOPS[max(known for known in LOOPS if known <= ipc)]


@dataclass(frozen=True)
class GradientMatchingConfig:
    """Settings of both papers' tables (reference code's defaults); loops of None mean `loops_for(ipc)`.

    With `real_precision` bf16 the gradients on real images, nearly all of the work, are computed by autocast; they, and
    everything else, stay float32.
    """

    network: str = "convnet-d3"
    steps: Annotated[int, Field(gt=0)] = 1000
    image_lr: Annotated[float, Field(gt=0)] = 0.1
    image_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    network_lr: Annotated[float, Field(gt=0)] = 0.01
    real_batch_size: Annotated[int, Field(gt=0)] = 256
    network_batch_size: Annotated[int, Field(gt=0)] = 256
    outer_loops: Annotated[int, Field(gt=0)] | None = None
    inner_epochs: Annotated[int, Field(gt=0)] | None = None
    real_precision: MethodPrecision = field(default="fp32", metadata=ADDED)


@dataclass(frozen=True, eq=False)
class Work:
    """What stays the same over the iterations of one run.

    `classes` are the indices of the real images of each class; `labels` (K * ipc,) int64 those of the synthetic ones.
    `strategy` is the DSA strategy string, empty for no augmentation.
    """

    train: LabeledImages
    classes: list[Tensor]
    synthetic: Tensor
    labels: Tensor
    learner: Learner
    gradients: NetworkGradients
    strategy: str
    loops: tuple[int, int]
    ctx: RunContext


class GradientMatching(Method):
    """Images whose gradients of a network's loss point where those of real images do, class by class."""

    Config = GradientMatchingConfig
    smoke_settings: ClassVar[dict[str, Any]] = {
        "network": "convnet-d1-w8",
        "steps": 2,
        "real_batch_size": 16,
        "outer_loops": 2,
        "inner_epochs": 2,
    }

    @abstractmethod
    def make_start(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Tensor:
        """Return the (K * ipc, C, H, W) float32 normalised images to start from, sorted by class."""

    @abstractmethod
    def strategy(self, train: LabeledImages) -> str:
        """Return the DSA strategy string for a data set, empty for no augmentation."""

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return why this network cannot be matched."""
        if has_batch_norm(make_network(self.config.network, InputShape.of(train.info), torch.Generator())):
            return (
                f"network {self.config.network} has batch norm, whose statistics would have to be fixed from real "
                "images before each match, which is not done here; take another norm, such as convnet-d3"
            )
        return None

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) float32 normalised images, sorted by class."""
        config = self.config
        work = self._make_work(train, ipc, ctx)
        for step in ctx.track(range(config.steps), "matching gradients", work.learner):
            loss = self._iterate(work)
            if step % 100 == 0:
                ctx.log(f"loss[{step}]", loss.item())
                if ctx.shows_images:
                    ctx.log(f"images[{step}]", work.synthetic)
        return DistilledDataset(
            images=work.synthetic.detach().cpu(),
            labels=work.labels.cpu(),
            num_classes=train.num_classes,
            ipc=ipc,
            provenance={"pixel_margin": UNBOUNDED, "engine": {"gradients": work.gradients.mode}},
        )

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return each step's gradients on real images, matches on synthetic ones and trainings of the network."""
        config, shape = self.config, InputShape.of(train.info)
        outer, inner = loops_for(ipc)
        outer, inner = config.outer_loops or outer, config.inner_epochs or inner
        num_real = sum(min(config.real_batch_size, int(count)) for count in train.class_counts())
        num_synthetic = train.num_classes * ipc
        size = gradient_chunk_size(torch.device("cpu"))
        trained = config.steps * (outer - 1) * inner * num_synthetic
        passes = (
            Passes(config.network, config.steps * outer * num_real, size, TRAINING, is_native=True),
            Passes(config.network, config.steps * outer * num_synthetic, ipc, META, is_native=True),
            Passes(config.network, trained, min(size, num_synthetic), TRAINING, is_native=True),
        )
        largest = min(config.real_batch_size, int(train.class_counts().max()))
        return MethodWork(PhaseWork(passes, image_bytes(2 * largest + 4 * num_synthetic, shape)))

    def _make_work(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Work:
        config, train = self.config, train.on(ctx.device)
        synthetic = self.make_start(train, ipc, ctx).to(ctx.device).requires_grad_()
        optimiser = torch.optim.SGD([synthetic], lr=config.image_lr, momentum=config.image_momentum)
        classes = [train.of_class(label) for label in range(train.num_classes)]
        outer, inner = loops_for(ipc)
        loops = (config.outer_loops or outer, config.inner_epochs or inner)
        num_real = loops[0] * sum(min(config.real_batch_size, len(indices)) for indices in classes)
        num_trained = (loops[0] - 1) * loops[1] * len(synthetic)
        # A pass forward and backward gains more by compiling than the forward pass the rule was made for, and both
        # functions take longer to compile.
        compiles = compiling_pays(config.steps * (num_real + num_trained), train.info.image_size, ctx.device)
        # The layers alone count here, so that no draw of the run is spent on them.
        structure = make_network(config.network, InputShape.of(train.info), torch.Generator()).to(ctx.device)
        return Work(
            train=train,
            classes=classes,
            synthetic=synthetic,
            labels=torch.arange(train.num_classes, device=ctx.device).repeat_interleave(ipc),
            learner=Learner(optimiser, ctx.generator),
            gradients=NetworkGradients(structure, compiles=compiles),
            strategy=self.strategy(train),
            loops=loops,
            ctx=ctx,
        )

    def _iterate(self, work: Work) -> Tensor:
        """Match along the training of one new network; returns the mean over matches of the distance of all classes.

        Only the images, their momentum and the generator's state outlive it.
        """
        parameters = self._draw_parameters(work)
        outer, inner = work.loops
        losses = []
        for loop in range(outer):
            losses.append(self._match(work, parameters))
            if loop < outer - 1:  # nothing would be matched after the last training
                self._train(work, parameters, inner)
        return torch.stack(losses).mean()

    def _match(self, work: Work, parameters: Tensors) -> Tensor:
        """Take one step of the images on the sum () over classes of the distances, which is returned."""
        size = even_size(self.config.real_batch_size, gradient_chunk_size(work.ctx.device))
        distances: list[Tensor] = []
        gradients: list[Tensor] = []
        count = len(work.classes)
        per_class = zip(work.classes, work.synthetic.chunk(count), work.labels.chunk(count), strict=True)
        for indices, images, labels in per_class:
            synthetic = images.detach().requires_grad_()
            real = work.train.normalised(
                draw_distinct(indices, self.config.real_batch_size, work.ctx.generator), work.ctx.device
            )
            augmented = synthetic
            if work.strategy:
                draw = draw_dsa(work.ctx.generator, work.strategy, 1, siamese=True)
                real, augmented = apply_dsa(real, draw), apply_dsa(synthetic, draw)
            one_label, precision = labels[:1].expand(len(real)), self.config.real_precision
            target = work.gradients.of_mean_loss(parameters, real, one_label, size, precision)
            distance, gradient = work.gradients.match(parameters, target, augmented, labels)
            distances.append(distance)
            # The augmentation stays outside what is compiled: each of its strategies would be compiled anew.
            gradients += torch.autograd.grad(augmented, synthetic, gradient) if work.strategy else [gradient]
        work.learner.descend([torch.cat(gradients)])
        return torch.stack(distances).sum()

    def _train(self, work: Work, parameters: Tensors, epochs: int) -> None:
        """Train a network in place on the synthetic set by plain SGD, each batch augmented with draws per image."""
        images, generator = work.synthetic.detach(), work.ctx.generator
        batch_size = min(self.config.network_batch_size, len(images))
        size = even_size(batch_size, gradient_chunk_size(work.ctx.device))
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
            for indices in order.split(batch_size):
                batch = images[indices]
                if work.strategy:
                    batch = dsa_augment(batch, generator, work.strategy)
                gradient = work.gradients.of_mean_loss(parameters, batch, work.labels[indices], size)
                for name, parameter in parameters.items():
                    parameter.sub_(gradient[name], alpha=self.config.network_lr)

    def _draw_parameters(self, work: Work) -> Tensors:
        network = make_network(self.config.network, InputShape.of(work.train.info), work.ctx.generator)
        send_network(network, work.ctx.device)
        network = network.to(memory_format=torch.channels_last)
        return {name: parameter.detach() for name, parameter in network.named_parameters()}
