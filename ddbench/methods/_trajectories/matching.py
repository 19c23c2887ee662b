"""Trajectory matching: the loop in which images, a student's rate and, where they are soft, labels follow experts.

Paper: Cazenavette et al., CVPR 2022 (arXiv 2203.11932). What it was checked against and where it differs stands in the
files of the methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import draw_dsa
from ddbench.augment.strategies import dsa_strategy
from ddbench.augment.zca import unwhiten, whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.pixels import as_bytes
from ddbench.engine.arithmetic import send
from ddbench.errors import DivergedError
from ddbench.images import LabeledImages, Whitening
from ddbench.inputs.pixel_margin import UNBOUNDED
from ddbench.method import RunContext
from ddbench.methods._coresets.selection import draw_real
from ddbench.methods._learning.learner import Learner
from ddbench.methods._trajectories.expert_files import Expert
from ddbench.methods._trajectories.experts import ExpertConfig, ExpertMethod
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.methods._trajectories.learned_set import LearnedSet, StepCheck
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, MetaGradient, Segment, StudentBatch
from ddbench.network import InputShape
from ddbench.work import META, TRAINING, VALUE_BYTES, MethodWork, PhaseWork, image_bytes, profile_network


@dataclass(frozen=True)
class MatchingConfig(ExpertConfig):
    """Settings of trajectory matching; the defaults are those of MTT's CIFAR-10 row at IPC 1.

    The student's rate may move between `min_student_lr` and `max_student_lr` (our choice: four orders of magnitude
    around the rates that published runs end with); beyond them the run has exploded and stops.
    """

    steps: Annotated[int, Field(gt=0)] = 5000
    syn_steps: Annotated[int, Field(gt=0)] = 50
    syn_batch_size: Annotated[int, Field(gt=0)] | None = None
    expert_epochs: Annotated[int, Field(gt=0)] = 2
    max_start_epoch: Annotated[int, Field(gt=0)] = 2
    image_lr: Annotated[float, Field(gt=0)] = 100.0
    image_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    start_lr: Annotated[float, Field(gt=0)] = 0.01
    lr_lr: Annotated[float, Field(ge=0)] = 1e-7
    lr_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    min_student_lr: Annotated[float, Field(gt=0)] = 1e-5
    max_student_lr: Annotated[float, Field(gt=0)] = 1.0
    gradient: Literal["adjoint", "unrolled", "tesla"] = "adjoint"

    def __post_init__(self) -> None:
        needed = self.max_start_epoch + self.expert_epochs
        if self.trajectory_epochs < needed:
            raise ValueError(
                f"trajectory_epochs must be at least max_start_epoch + expert_epochs = {needed}, got "
                f"{self.trajectory_epochs}; train experts for longer or start students earlier"
            )
        if not self.min_student_lr <= self.start_lr <= self.max_student_lr:
            raise ValueError(
                f"start_lr must lie between min_student_lr and max_student_lr, {self.min_student_lr} to "
                f"{self.max_student_lr}, got {self.start_lr}"
            )

    def start_epochs(self, step: int) -> range:
        """Return the epochs of an expert at which a student of iteration `step` may start."""
        return range(self.max_start_epoch)

    @property
    def skip_above(self) -> float:
        """The largest loss of which an iteration takes its step; those of a larger one change nothing."""
        return math.inf

    def rates(self) -> dict[str, dict[str, float]]:
        """Return the SGD rate and momentum of each part of a `LearnedSet`, in the order in which they are kept."""
        return {
            "images": {"lr": self.image_lr, "momentum": self.image_momentum},
            "lr": {"lr": self.lr_lr, "momentum": self.lr_momentum},
        }


class MatchingMethod(ExpertMethod):
    """A method whose synthetic set is learned so that students trained on it follow experts.

    What one may define of its own: `starts`, and in its Config `start_epochs`, `skip_above` and `rates`.
    """

    Config = MatchingConfig
    prepare_ignores: ClassVar[tuple[str, ...]] = (
        "steps",
        "syn_steps",
        "syn_batch_size",
        "expert_epochs",
        "max_start_epoch",
        "image_lr",
        "image_momentum",
        "start_lr",
        "lr_lr",
        "lr_momentum",
        "min_student_lr",
        "max_student_lr",
        "gradient",
    )
    smoke_settings: ClassVar[dict[str, Any]] = {
        **ExpertMethod.smoke_settings,
        "expert_epochs": 1,
        "steps": 2,
        "syn_steps": 2,
    }

    def starts(
        self, train: LabeledImages, ipc: int, experts: list[Expert], whitening: Whitening | None, ctx: RunContext
    ) -> tuple[Tensor, Tensor]:
        """Return what learning starts from, sorted by class: images, and labels or logits, which are learned too.

        Here `ipc` random real images of each class, (K * ipc, C, H, W) float32, and (K * ipc,) int64 labels.
        """
        indices = torch.cat(draw_real(train, ipc, ctx.generator))
        return images_in_space(train, indices, whitening, ctx.device), train.labels[indices].to(ctx.device)

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) float32 images, sorted by class, normalised or zca, with their student rate.

        Raises:
            DivergedError: numbers that are not finite, a rate out of its range, or not one step taken.
        """
        config = self.config
        experts, whitening = self.load_experts(train, ctx)
        images, labels = self.starts(train, ipc, experts, whitening, ctx)
        learned = LearnedSet(images, torch.tensor(config.start_lr, device=ctx.device), labels)
        begun, good, parts = learned.copied(), None, learned.learnable
        groups = [{"params": [parts[part].requires_grad_()], **rate} for part, rate in config.rates().items()]
        learner = Learner(torch.optim.SGD(groups), ctx.generator)
        network = self._student_network(train, ipc, ctx)
        as_set = partial(self._as_set, train, ipc, whitening, network)
        for step in ctx.track(range(config.steps), "matching trajectories", learner):
            now = learned.copied()  # on the device, where it costs nothing
            segment = self._draw_segment(experts, step, ctx)
            batches = self._draw_batches(now.shown_labels(), train, ctx)
            found = META_GRADIENTS[config.gradient](network, now.images, now.lr, segment, batches)
            if self._skips(found):
                ctx.log(f"skipped[{step}]", found.loss.item())
                continue
            learner.descend(now.gradients(found))
            seen = StepCheck.of(found, learned)
            reason = seen.diagnose_gradient()
            if not reason:
                good = now
                reason = seen.diagnose_step(config.min_student_lr, config.max_student_lr)
            if reason:
                raise DivergedError(f"{self._name} stopped at step {step}: {reason}", as_set(good or now))
            if step % 10 == 0:
                ctx.log(f"loss[{step}]", seen.loss)
                ctx.log(f"student_lr[{step}]", seen.lr)
            if step % 100 == 0 and ctx.shows_images:
                ctx.log(f"images[{step}]", shown_images(learned.images.detach(), whitening))
        if math.isfinite(config.skip_above) and torch.equal(learned.images, begun.images):
            last = f"{found.loss.item():.3g} in the last, and nothing was learned"
            reason = f"the loss was above threshold = {config.skip_above:g} in every step, {last}"
            reason += "; raise threshold, or lower start_lr"
            raise DivergedError(f"{self._name} stopped after step {config.steps - 1}: {reason}", as_set(begun))
        return as_set(learned.copied())

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the experts' training and, for each step, a student's path, and the same path back (see `META`)."""
        config, shape = self.config, InputShape.of(train.info)
        num_images = train.num_classes * ipc
        batch_size = self._batch_size(num_images)
        images = config.steps * config.syn_steps * batch_size
        passes = tuple(self.flat_passes(shape, images, batch_size, cost) for cost in (TRAINING, META))
        path = (config.syn_steps + 1) * profile_network(config.network, shape).parameters * VALUE_BYTES
        distill = PhaseWork(passes, held_bytes=path + image_bytes(6 * num_images, shape))
        return MethodWork(distill, self.expert_work(train))

    def _student_network(self, train: LabeledImages, ipc: int, ctx: RunContext) -> FlatNetwork:
        """Return the network of students, which take plain steps whatever steps the experts have taken."""
        batch_size = self._batch_size(train.num_classes * ipc)
        passes = (TRAINING + META) * self.config.steps * self.config.syn_steps * batch_size  # there and back, as `work`
        return ExpertMethod.flat_network(self, train, ctx, passes, batch_size)

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def _as_set(
        self,
        train: LabeledImages,
        ipc: int,
        whitening: Whitening | None,
        network: FlatNetwork,
        learned: LearnedSet,
    ) -> DistilledDataset:
        """Return the set with what was learned by now, and how it was computed."""
        return DistilledDataset(
            images=learned.images.cpu(),
            labels=learned.shown_labels().cpu(),
            num_classes=train.num_classes,
            ipc=ipc,
            space="normalised" if whitening is None else "zca",
            student_lr=learned.lr.item(),
            whitening=whitening,
            provenance={
                "pixel_margin": UNBOUNDED,
                "engine": {"matching": self.config.gradient, "student": network.mode},
            },
        )

    def _skips(self, found: MetaGradient) -> bool:
        """Return whether an iteration changes nothing; its loss is read from the device only where there is a limit."""
        limit = self.config.skip_above
        return math.isfinite(limit) and not bool(found.loss <= limit)  # compared as the loss is rounded

    def _draw_segment(self, experts: list[Expert], step: int, ctx: RunContext) -> Segment:
        """Draw an expert and the epoch its student starts at."""
        expert = experts[int(torch.randint(len(experts), (), generator=ctx.generator))]
        epochs = self.config.start_epochs(step)
        start = epochs[int(torch.randint(len(epochs), (), generator=ctx.generator))]
        ends = (send(expert.parameters(epoch), ctx.device) for epoch in (start, start + self.config.expert_epochs))
        return Segment(*ends)

    def _draw_batches(self, labels: Tensor, train: LabeledImages, ctx: RunContext) -> list[StudentBatch]:
        """Draw the batches of one student: permutations of the synthetic set, cut up, each with a DSA draw."""
        strategy = dsa_strategy(train.info)
        chunks: list[Tensor] = []
        while len(chunks) < self.config.syn_steps:
            order = torch.randperm(len(labels), generator=ctx.generator)
            chunks += order.split(self._batch_size(len(labels)))
        there = [indices.to(labels.device, non_blocking=True) for indices in chunks[: self.config.syn_steps]]
        return [StudentBatch(i, labels[i], draw_dsa(ctx.generator, strategy, len(i))) for i in there]

    def _batch_size(self, num_images: int) -> int:
        return min(self.config.syn_batch_size or num_images, num_images)


def images_in_space(train: LabeledImages, indices: Tensor, whitening: Whitening | None, device: torch.device) -> Tensor:
    """Return some real images, (n, C, H, W) float32 in the students' space: zca with a whitening, else normalised."""
    if whitening is None:
        return train.normalised(indices, device)
    return whiten(train.pixels(indices).to(device), whitening)


def shown_images(images: Tensor, whitening: Whitening | None) -> Tensor:
    """Return (n, C, H, W) images of the students' space as a log shows them: whitened ones as uint8 pixels."""
    return images if whitening is None else as_bytes(unwhiten(images, whitening))
