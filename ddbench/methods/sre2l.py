"""SRe2L: images optimised until a teacher is sure of their classes and its batch statistics are those of real images.

With `crop_schedule` `curriculum` it is CDA. Papers: Yin, Xing, Shen, "Squeeze, Recover and Relabel", NeurIPS 2023
(arXiv 2306.13092), equations 6 to 9; Yin, Shen, "Dataset Distillation via Curriculum Data Synthesis in Large Data Era"
(CDA), TMLR 2024 (arXiv 2311.18838). Checked against: VILA-Lab/SRe2L, `SRe2L/recover/data_synthesis.py`, and
`CDA/recover_cda_in1k.py`. Differs from them: the teacher is trained here, images are kept as they are and not as JPEG,
labels are hard: a protocol with a teacher relabels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ddbench.augment.imagenet import draw_imagenet, resized_crop
from ddbench.method import METHODS, RunContext
from ddbench.methods._teacher.batch_statistics import watched_statistics
from ddbench.methods._teacher.foundation import TeacherConfig, TeacherMethod, load_teacher
from ddbench.network import InputShape, has_batch_norm, make_network
from ddbench.records import DatasetInfo, DistilledDataset, LabeledImages
from ddbench.students.loop import channels_last
from ddbench.training_recipe import ImageAugmentation
from ddbench.work import TRAINING, MethodWork, Passes, PhaseWork

LEAST_AREA = 0.08
BETAS = (0.5, 0.9)
FIRST_FACTOR = 10.0  # of the first layer's statistics
LARGEST_SMALL = 32  # px: the authors neither crop nor run as long there
CropSchedule = Literal["none", "constant", "curriculum"]


def cosine_rate(lr: float, step: int, steps: int) -> float:
    """Return the learning rate of a step, which falls from `lr` to 0 along half a cosine."""
    return lr * (1 + math.cos(math.pi * step / steps)) / 2


def least_area(schedule: CropSchedule, step: int, steps: int) -> float:
    """Return the least part of an image's area that a crop of a step keeps: of CDA from 1 down to 0.08."""
    fall = (1 + math.cos(math.pi * step / steps)) / 2 if schedule == "curriculum" else 0.0
    return LEAST_AREA + (1 - LEAST_AREA) * fall


class Recovery:
    """Images that are done, those that are optimised now and Adam's moments of them: a `Resumable` state.

    Args:
        total: (M, C, S, S) of all images.
        generator: CPU generator of every draw.
        device: where images are optimised.
    """

    def __init__(self, total: tuple[int, ...], generator: torch.Generator, device: torch.device) -> None:
        self.images, self.generator, self.device = torch.zeros(total), generator, device
        self._restart(torch.zeros(0, *total[1:]))

    def begin(self, count: int) -> None:
        """Draw images anew from a normal distribution."""
        self._restart(torch.randn(count, *self.images.shape[1:], generator=self.generator))

    def _restart(self, images: Tensor) -> None:
        self.now = images.to(self.device).requires_grad_()
        self.optimiser = torch.optim.Adam([self.now], betas=BETAS)

    def step(self, loss: Tensor, lr: float, bounds: tuple[Tensor, Tensor]) -> None:
        """Take one step down the gradient of `loss`, then back into the range of pixels."""
        (self.now.grad,) = torch.autograd.grad(loss, self.now)
        self.optimiser.param_groups[0]["lr"] = lr
        self.optimiser.step()
        with torch.no_grad():
            self.now.copy_(torch.minimum(torch.maximum(self.now, bounds[0]), bounds[1]))

    def save_state(self) -> dict[str, Tensor]:
        """Return images, moments and the generator's state."""
        moments = {f"adam.{name}": value.clone() for name, value in self.optimiser.state[self.now].items()}
        kept = {"images": self.images, "now": self.now.detach().clone(), "generator": self.generator.get_state()}
        return {**kept, **moments}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.images = state["images"].clone()
        self._restart(state["now"])
        self.generator.set_state(state["generator"])
        moments = {name.removeprefix("adam."): value for name, value in state.items() if name.startswith("adam.")}
        if moments:
            self.optimiser.state[self.now] = {
                name: value.clone() if name == "step" else value.to(self.device, copy=True)
                for name, value in moments.items()
            }


@METHODS.register("sre2l")
class SRe2L(TeacherMethod):
    """`ipc` images of each class, one of each class at a time."""

    smoke_settings: ClassVar[dict[str, Any]] = {**TeacherMethod.smoke_settings, "steps": 3}

    @dataclass(frozen=True)
    class Config(TeacherConfig):
        """Settings of recovering; None is what the authors have for images up to 32 px and beyond.

        `steps`: 1,000 and 4,000. `roll`, the most pixels that images are rolled by: 4 and 32. `crop_schedule`: `none`
        and `constant`. `lr` and `statistics_weight` are those of CIFAR-100 and ImageNet (Tiny ImageNet: 0.1 and 1).
        """

        steps: Annotated[int, Field(gt=0)] | None = None
        lr: Annotated[float, Field(gt=0)] = 0.25
        statistics_weight: Annotated[float, Field(ge=0)] = 0.01
        roll: Annotated[int, Field(ge=0)] | None = None
        crop_schedule: CropSchedule | None = None
        classes_at_once: Annotated[int, Field(gt=0)] = 100

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where the teacher has no batch norm, whose statistics are matched; any IPC can be made."""
        network = make_network(self.config.teacher_network, InputShape.of(train.info), torch.Generator())
        name = self.config.teacher_network
        return None if has_batch_norm(network) else f"teacher_network {name} has no batch norm; name one that has it"

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the teacher's training, and a pass forward and back for every step of every image."""
        images, at_once = train.num_classes * ipc, min(self.config.classes_at_once, train.num_classes)
        recovering = Passes(self.config.teacher_network, images * self._steps(train.info), at_once, TRAINING)
        return MethodWork(PhaseWork((recovering,)), PhaseWork((self.training(train),)))

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) normalised images, sorted by class."""
        teacher, info, steps = load_teacher(self.config, train, ctx), train.info, self._steps(train.info)
        jobs = [
            (index, classes)
            for index in range(ipc)
            for classes in torch.arange(train.num_classes).split(self.config.classes_at_once)
        ]
        mean, std = (torch.tensor(values, device=ctx.device).view(1, -1, 1, 1) for values in (info.mean, info.std))
        bounds = -mean / std, (1 - mean) / std
        shape = (train.num_classes * ipc, info.channels, info.image_size, info.image_size)
        state = Recovery(shape, ctx.generator, ctx.device)
        with watched_statistics(teacher) as gaps:
            for iteration in ctx.track(range(len(jobs) * steps), "recovering", state):
                (index, classes), step = jobs[iteration // steps], iteration % steps
                if step == 0:
                    state.begin(len(classes))
                logits = teacher(channels_last(self._augment(state.now, info, step, steps, ctx.generator)))
                loss = F.cross_entropy(logits, classes.to(ctx.device))
                loss = loss + self.config.statistics_weight * gaps.take(FIRST_FACTOR)
                state.step(loss, cosine_rate(self.config.lr, step, steps), bounds)
                if step == steps - 1:
                    state.images[classes * ipc + index] = state.now.detach().cpu()
                    ctx.log(f"loss[{index}, {int(classes[0])}]", loss.item())
        labels = torch.arange(train.num_classes).repeat_interleave(ipc)
        return DistilledDataset(state.images, labels, train.num_classes, ipc, "normalised")

    def _augment(self, images: Tensor, info: DatasetInfo, step: int, steps: int, generator: torch.Generator) -> Tensor:
        """Return images cropped, mirrored and rolled, all of them alike."""
        is_small = info.image_size <= LARGEST_SMALL
        given: CropSchedule | None = self.config.crop_schedule
        schedule: CropSchedule = given or ("none" if is_small else "constant")
        if schedule != "none":
            area = (least_area(schedule, step, steps), 1.0)
            recipe = ImageAugmentation(crop_area=area, flip=0.5 * info.may_be_mirrored, jitter=0.0, lighting=0.0)
            draw = draw_imagenet(generator, recipe, 1, info.image_size)
            images = resized_crop(images, draw.boxes.to(images.device).expand(len(images), 4))
            images = images.flip(3) if bool(draw.flips) else images
        most = self.config.roll if self.config.roll is not None else (4 if is_small else 32)
        shifts = torch.randint(most + 1, (2,), generator=generator).tolist()
        return images.roll(shifts, (2, 3))

    def _steps(self, info: DatasetInfo) -> int:
        given: int | None = self.config.steps
        return given or (1000 if info.image_size <= LARGEST_SMALL else 4000)
