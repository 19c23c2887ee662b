"""SRe2L: images optimised until a teacher is sure of their classes and its batch statistics are those of real images.

With `crop_schedule` `curriculum` it is CDA. Papers: Yin, Xing, Shen, "Squeeze, Recover and Relabel", NeurIPS 2023
(arXiv 2306.13092), equations 6 to 9; Yin, Shen, "Dataset Distillation via Curriculum Data Synthesis in Large Data Era"
(CDA), TMLR 2024 (arXiv 2311.18838). Checked against: VILA-Lab/SRe2L, `SRe2L/recover/data_synthesis.py`, and
`CDA/recover_cda_in1k.py`. Differs from them: the teacher is trained here unless `teacher` names published weights,
theirs for ImageNet-1k; images are rounded to 8 bits and not kept as JPEG; labels are hard: a protocol with a teacher
relabels. All images are rolled the same way (Tiny ImageNet's: either).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ddbench.augment.imagenet import draw_imagenet, resized_crop
from ddbench.augment.pixels import as_bytes
from ddbench.engine.chunks import even_size
from ddbench.method import METHODS, RunContext
from ddbench.methods._teacher.batch_statistics import watched_statistics
from ddbench.methods._teacher.choice import TeacherChoice, TeacherChoiceMethod
from ddbench.network import InputShape, make_network
from ddbench.records import DatasetInfo, DistilledDataset, LabeledImages
from ddbench.students.loop import channels_last
from ddbench.training_recipe import ImageAugmentation
from ddbench.work import TRAINING, MethodWork, Passes, PhaseWork

LEAST_AREA = 0.08
BETAS = (0.5, 0.9)
FIRST_FACTOR = 10.0  # of the first layer's statistics
CropSchedule = Literal["none", "constant", "curriculum"]


@dataclass(frozen=True)
class Recipe:
    """What the authors have for images of one size: steps, rate, weight of the statistics, most pixels rolled, crop."""

    steps: int
    lr: float
    statistics_weight: float
    roll: int
    crop_schedule: CropSchedule


RECIPES = {  # by the largest side, px: CIFAR-100, Tiny ImageNet, ImageNet
    32: Recipe(1000, 0.25, 0.01, 4, "none"),
    64: Recipe(4000, 0.1, 1.0, 4, "constant"),
    100_000: Recipe(4000, 0.25, 0.01, 32, "constant"),
}


def cosine_rate(lr: float, step: int, steps: int) -> float:
    """Return the learning rate of a step, which falls from `lr` to 0 along half a cosine."""
    return lr * (1 + math.cos(math.pi * step / steps)) / 2


def least_area(schedule: CropSchedule, step: int, steps: int) -> float:
    """Return the least part of an image's area that a crop of a step keeps: of CDA from 1 down to 0.08."""
    fall = (1 + math.cos(math.pi * step / steps)) / 2 if schedule == "curriculum" else 0.0
    return LEAST_AREA + (1 - LEAST_AREA) * fall


class Recovery:
    """Images that are done, uint8, those that are optimised now and Adam's moments of them: a `Resumable` state.

    Args:
        total: (M, C, S, S) of all images.
        generator: CPU generator of every draw.
        device: where images are optimised.
    """

    def __init__(self, total: tuple[int, ...], generator: torch.Generator, device: torch.device) -> None:
        self.images, self.generator, self.device = torch.zeros(total, dtype=torch.uint8), generator, device
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
        self.images.copy_(state["images"])
        self._restart(state["now"])
        self.generator.set_state(state["generator"])
        moments = {name.removeprefix("adam."): value for name, value in state.items() if name.startswith("adam.")}
        if moments:
            self.optimiser.state[self.now] = {
                name: value.clone() if name == "step" else value.to(self.device, copy=True)
                for name, value in moments.items()
            }


@METHODS.register("sre2l")
class SRe2L(TeacherChoiceMethod):
    """`ipc` images of each class, one of each class at a time."""

    smoke_settings: ClassVar[dict[str, Any]] = {**TeacherChoiceMethod.smoke_settings, "steps": 3}

    @dataclass(frozen=True)
    class Config(TeacherChoice):
        """Settings of recovering; None is what the authors have for images of that size, see `RECIPES`.

        `roll` is the most pixels that images are rolled by; `classes_at_once` is the authors' batch.
        """

        steps: Annotated[int, Field(gt=0)] | None = None
        lr: Annotated[float, Field(gt=0)] | None = None
        statistics_weight: Annotated[float, Field(ge=0)] | None = None
        roll: Annotated[int, Field(ge=0)] | None = None
        crop_schedule: CropSchedule | None = None
        classes_at_once: Annotated[int, Field(gt=0)] = 100

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where the teacher has no batch norm, whose statistics are matched; any IPC can be made."""
        if reason := self.teacher_unsupported(train):
            return reason
        name = self.config.network
        network = make_network(name, InputShape.of(train.info), torch.Generator())
        has_statistics = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        return None if has_statistics else f"teacher {name} has no batch norm of maps; name one that has it"

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the teacher's training, and a pass forward and back for every step of every image."""
        images = train.num_classes * ipc
        at_once = even_size(train.num_classes, self.config.classes_at_once)
        steps = images * self.recipe(train.info).steps
        recovering = Passes(self.config.network, steps, at_once, TRAINING)
        held = images * train.info.channels * train.info.image_size**2  # a byte each
        return MethodWork(PhaseWork((recovering,), held_bytes=2 * held), self.preparing(train))

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) uint8 pixels, sorted by class."""
        teacher, info, recipe = self.load_teacher(train, ctx), train.info, self.recipe(train.info)
        steps, at_once = recipe.steps, even_size(train.num_classes, self.config.classes_at_once)
        jobs = [(index, classes) for index in range(ipc) for classes in torch.arange(train.num_classes).split(at_once)]
        mean, std = (torch.tensor(values, device=ctx.device).view(1, -1, 1, 1) for values in (info.mean, info.std))
        bounds = -mean / std, (1 - mean) / std
        shape = (train.num_classes * ipc, info.channels, info.image_size, info.image_size)
        state = Recovery(shape, ctx.generator, ctx.device)
        with watched_statistics(teacher) as gaps:
            for iteration in ctx.track(range(len(jobs) * steps), "recovering", state):
                (index, classes), step = jobs[iteration // steps], iteration % steps
                if step == 0:
                    state.begin(len(classes))
                logits = teacher(channels_last(augment(state.now, info, recipe, step, ctx.generator)))
                loss = F.cross_entropy(logits, classes.to(ctx.device))
                loss = loss + recipe.statistics_weight * gaps.take(FIRST_FACTOR)
                state.step(loss, cosine_rate(recipe.lr, step, steps), bounds)
                if step == steps - 1:
                    state.images[classes * ipc + index] = as_bytes(info.to_pixels(state.now.detach().cpu()))
                    ctx.log(f"loss[{index}, {int(classes[0])}]", loss.item())
        labels = torch.arange(train.num_classes).repeat_interleave(ipc)
        provenance = self.teacher_provenance(ctx)
        return DistilledDataset(state.images, labels, train.num_classes, ipc, "pixels", provenance=provenance)

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the authors' recipe for the images' size, with what the settings say."""
        usual = next(recipe for side, recipe in RECIPES.items() if info.image_size <= side)
        given = {field.name: getattr(self.config, field.name) for field in fields(Recipe)}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})


def augment(images: Tensor, info: DatasetInfo, recipe: Recipe, step: int, generator: torch.Generator) -> Tensor:
    """Return (B, C, S, S) images cropped, mirrored and rolled, all of them alike."""
    if recipe.crop_schedule != "none":
        area = (least_area(recipe.crop_schedule, step, recipe.steps), 1.0)
        crops = ImageAugmentation(crop_area=area, flip=0.5 * info.may_be_mirrored, jitter=0.0, lighting=0.0)
        draw = draw_imagenet(generator, crops, 1, info.image_size)
        images = resized_crop(images, draw.boxes.to(images.device).expand(len(images), 4))
        images = images.flip(3) if bool(draw.flips) else images
    shifts = torch.randint(recipe.roll + 1, (2,), generator=generator).tolist()
    return images.roll(shifts, (2, 3))
