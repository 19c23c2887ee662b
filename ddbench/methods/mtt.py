"""MTT: synthetic images on which a student follows the trajectories of experts trained on the real data.

Paper: Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching Training Trajectories", CVPR 2022
(arXiv 2203.11932).
Checked against: GeorgeCazenavette/mtt-distillation, buffer.py and distill.py; settings also against the scripts of
dc_benchmark and FTD, because the paper's table has rates that explode.
Differs from it: the last images are returned and never the best by test accuracy; experts are drawn independently in
each step, not in a shuffled order; where batches do not divide the set the odd one comes last; without ZCA, CIFAR-100
has its own mean and std; a student rate that leaves a stated range stops the run; scaling and rotation sample with
`align_corners=False`, which on square images is the same; the gradient is computed in the `adjoint` way, which equals
the reference's and needs the memory of one step (see `meta_gradient`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import draw_dsa
from ddbench.augment.strategies import dsa_strategy
from ddbench.augment.zca import whiten
from ddbench.engine.arithmetic import send
from ddbench.errors import DivergedError
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import draw_real
from ddbench.methods._learning.learner import Learner
from ddbench.methods._trajectories.expert_files import Expert
from ddbench.methods._trajectories.experts import ExpertConfig, ExpertMethod
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS, MetaGradient, Segment, StudentBatch
from ddbench.network import InputShape
from ddbench.records import UNBOUNDED, DistilledDataset, LabeledImages, Whitening
from ddbench.work import META, TRAINING, VALUE_BYTES, MethodWork, PhaseWork, image_bytes, profile_network

LOWER = "lower image_lr, lr_lr or start_lr"


@METHODS.register("mtt")
class TrajectoryMatching(ExpertMethod):
    """Trajectory matching with a learned student rate."""

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

    @dataclass(frozen=True)
    class Config(ExpertConfig):
        """Settings of the CIFAR-10 row at IPC 1; `baselines/presets` has those of other rows.

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

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) float32 images, sorted by class, normalised or zca, with their student rate."""
        config = self.config
        experts, whitening = self.load_experts(train, ctx)
        images, labels = _start(train, ipc, whitening, ctx)
        start = DistilledDataset(
            images=images.cpu().clone(),
            labels=labels.cpu(),
            num_classes=train.num_classes,
            ipc=ipc,
            space="normalised" if whitening is None else "zca",
            student_lr=config.start_lr,
            whitening=whitening,
            provenance={"pixel_margin": UNBOUNDED},
        )
        lr = torch.tensor(config.start_lr, device=ctx.device)
        learner = self._make_learner(images, lr, ctx)
        batch_size = self._batch_size(len(images))
        passes = (TRAINING + META) * config.steps * config.syn_steps * batch_size  # there and back, as in `work`
        network = self.flat_network(train, ctx, passes, batch_size)

        def as_set(learned: tuple[Tensor, Tensor]) -> DistilledDataset:
            made = replace(start, images=learned[0].cpu(), student_lr=learned[1].item())
            return made.with_provenance(engine=self._describe_engine(network))

        good = None
        for step in ctx.track(range(config.steps), "matching trajectories", learner):
            now = (images.detach().clone(), lr.detach().clone())  # on the device, where they cost nothing
            segment, batches = self._draw_segment(experts, ctx), self._draw_batches(labels, train, ctx)
            found = META_GRADIENTS[config.gradient](network, images.detach(), lr.detach(), segment, batches)
            learner.descend((found.images, found.lr))
            seen = StepCheck.of(found, images.detach(), lr.detach())
            reason = seen.diagnose_gradient()
            if not reason:
                good = now
                reason = self._diagnose_step(seen)
            if reason:
                raise DivergedError(f"mtt stopped at step {step}: {reason}", as_set(good or now))
            if step % 10 == 0:
                ctx.log(f"loss[{step}]", seen.loss)
                ctx.log(f"student_lr[{step}]", seen.lr)
        return as_set((images.detach(), lr.detach()))

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

    def _describe_engine(self, network: FlatNetwork) -> dict[str, str]:
        return {"matching": self.config.gradient, "student": network.mode}

    def _make_learner(self, images: Tensor, lr: Tensor, ctx: RunContext) -> Learner:
        """Return the state of the loop: images and the student's rate, each with an SGD rate of its own."""
        config = self.config
        groups = [
            {"params": [images.requires_grad_()], "lr": config.image_lr, "momentum": config.image_momentum},
            {"params": [lr.requires_grad_()], "lr": config.lr_lr, "momentum": config.lr_momentum},
        ]
        return Learner(torch.optim.SGD(groups), ctx.generator)

    def _draw_segment(self, experts: list[Expert], ctx: RunContext) -> Segment:
        """Draw an expert and the epoch its student starts at."""
        expert = experts[int(torch.randint(len(experts), (), generator=ctx.generator))]
        start = int(torch.randint(self.config.max_start_epoch, (), generator=ctx.generator))
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

    def _diagnose_step(self, seen: StepCheck) -> str:
        """Return what is wrong with the images and the rate after a step, empty where nothing is."""
        if not seen.images_are_finite:
            return f"the images are not finite; {LOWER}"
        # Rounded as the rate itself is: both ends belong to the range.
        low, high = (torch.tensor(end).item() for end in (self.config.min_student_lr, self.config.max_student_lr))
        if low <= seen.lr <= high:
            return ""
        advice = "lower lr_lr or start_lr" if seen.lr > high else "lower lr_lr or raise start_lr"
        return f"student_lr left its range, {low:g} to {high:g}, for {seen.lr:.3g}; {advice}"


@dataclass(frozen=True)
class StepCheck:
    """What decides whether a step was sound, read from the device in one transfer: the only wait of a step."""

    loss: float
    lr: float
    gradient_is_finite: bool
    images_are_finite: bool

    @classmethod
    def of(cls, found: MetaGradient, images: Tensor, lr: Tensor) -> StepCheck:
        """Return the check of a gradient and of the images and the rate after a step down it."""
        gradient = found.images.isfinite().all() & found.lr.isfinite()
        values = torch.stack([found.loss, lr, gradient.to(lr), images.isfinite().all().to(lr)]).tolist()
        return cls(values[0], values[1], bool(values[2]), bool(values[3]))

    def diagnose_gradient(self) -> str:
        """Return what is wrong with the gradient, empty where nothing is."""
        if not math.isfinite(self.loss):
            return f"the matching loss is {self.loss}; {LOWER}"
        return "" if self.gradient_is_finite else f"the gradient is not finite at loss {self.loss:.3g}; {LOWER}"


def _start(train: LabeledImages, ipc: int, whitening: Whitening | None, ctx: RunContext) -> tuple[Tensor, Tensor]:
    """Return `ipc` random real images of each class, (K * ipc, C, H, W) float32 in the students' space, and labels."""
    indices = torch.cat(draw_real(train, ipc, ctx.generator))
    labels = train.labels[indices].to(ctx.device)
    if whitening is None:
        return train.normalised(indices, ctx.device), labels
    return whiten(train.pixels(indices).to(ctx.device), whitening), labels
