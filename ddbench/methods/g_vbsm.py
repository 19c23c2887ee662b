"""G-VBSM: optimises images against several teachers, one per step: their predictions and their layers' statistics.

Paper: Shao et al., "Generalized Large-Scale Data Condensation via Various Backbone and Statistical Matching", CVPR 2024
(arXiv 2311.17950): data densification (DD), generalised statistical matching of batch norm and conv inputs, backbones
in turn. Checked against: shaoshitong/G_VBSM_Dataset_Condensation, `recover/` of its four branches, which agree with
`RECIPES`. Differs from it: the teachers are trained here and are others, unless `teachers` names published weights;
images are rounded to 8 bits, not cut off, and not kept as JPEG; labels are hard, a protocol with a teacher relabels.
All images of a batch share one device, where ImageNet's are halves on two GPUs with statistics of their own, and
classes follow one another, where Tiny ImageNet's batches have a tenth of each class's images. Real images pass once
through all teachers, not once for each; eigenvalues are those of symmetric matrices. Moving averages begin at 0, as
they do there once statistics of real images are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from ddbench.distilled.dataset import DistilledDataset
from ddbench.host.files import load_tensors
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._teacher.layer_statistics import ConvSums
from ddbench.methods._teacher.moving_statistics import MovingStatistics, watched_teachers
from ddbench.methods._teacher.recipes import recipe_for
from ddbench.methods._teacher.recovery import FIRST_FACTOR, new_recovery, recover
from ddbench.methods._teacher.several import TeachersConfig, TeachersMethod, load_teachers
from ddbench.methods._teacher.views import enlarged, rolled, shifted
from ddbench.students.loop import channels_last
from ddbench.work import BY_IMAGES, MethodWork, Passes, PhaseWork

LARGEST_SHIFTED = 64  # px: larger images are cropped
LEAST_AREA = 0.08
TEMPERATURE = 4.0  # of the softer eigenvalues
POOLED = 32  # px
STATISTICS_FILE = "conv_statistics.safetensors"


@dataclass(frozen=True)
class Recipe:
    """What the authors have for images of one size: rate, averages' momentum, conv layers left out, cells, batches."""

    lr: float
    momentum: float
    drop_rate: float
    cell_side: int
    batch_size: int
    real_batch_size: int


RECIPES = {  # by the largest side, px: CIFAR-10, CIFAR-100 and Tiny ImageNet; ImageNet
    64: Recipe(0.05, 0.8, 0.4, 4, 100, 64),
    224: Recipe(0.1, 0.4, 0.0, 16, 80, 256),
}


def densification(images: Tensor, labels: Tensor) -> Tensor:
    """Return DD of (B, C, S, S) images with (B,) labels, (): the sum of KL(softmax(l / 4), softmax(l)) over classes.

    l are the eigenvalues of the Gram matrix of images averaged to 32 x 32; the first softmax has no gradient.
    """
    rows = F.adaptive_avg_pool2d(images, POOLED).flatten(1)
    total = images.new_zeros(())
    for label in labels.unique():
        own = rows[labels == label]
        values = torch.linalg.eigvalsh(own @ own.T)
        softer = (values / TEMPERATURE).softmax(0).detach()
        total = total + F.kl_div(values.log_softmax(0), softer, reduction="sum")
    return total


@METHODS.register("g_vbsm")
class GVBSM(TeachersMethod):
    """`ipc` images of each class, batches of whole classes at a time."""

    smoke_settings: ClassVar[dict[str, Any]] = {**TeachersMethod.smoke_settings, "steps": 3}
    prepare_ignores: ClassVar[tuple[str, ...]] = (
        "steps",
        "lr",
        "statistics_weight",
        "density_weight",
        "momentum",
        "drop_rate",
        "batch_size",
        "roll",
    )

    @dataclass(frozen=True)
    class Config(TeachersConfig):
        """Settings of recovering; None is what the authors have for images of that size, see `RECIPES`.

        `roll` is the most pixels that images are rolled by, `cell_side` of maps, `drop_rate` of conv layers a step.
        """

        teacher_networks: Annotated[tuple[str, ...], Field(min_length=1)] = (
            "resnet18-bn",
            "convnet-d3-bn",
            "timm/mobilenetv2_100",
            "timm/efficientnet_b0",
        )
        steps: Annotated[int, Field(gt=0)] = 4000
        lr: Annotated[float, Field(gt=0)] | None = None
        statistics_weight: Annotated[float, Field(ge=0)] = 0.01
        density_weight: Annotated[float, Field(ge=0)] = 1.0
        momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
        drop_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
        cell_side: Annotated[int, Field(gt=0)] | None = None
        batch_size: Annotated[int, Field(gt=0)] | None = None
        real_batch_size: Annotated[int, Field(gt=0)] | None = None
        roll: Annotated[int, Field(ge=0)] = 32

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where a teacher has no conv of maps, whose statistics are matched, or is not here."""
        if reason := self.teachers_unsupported(train):
            return reason
        cell, side = self.recipe(train.info).cell_side, train.info.image_size
        if cell > side:
            return f"cell_side must be at most the images' side, {side}, got {cell}"
        for name, network in self.untrained(train).items():
            if not any(isinstance(layer, nn.Conv2d) for layer in network.modules()):
                return f"teacher {name} has no conv of maps; name networks that have it"
        return None

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the teachers' trainings and look at real images, and a pass forward and back of an image each step."""
        recipe, networks, images = self.recipe(train.info), self.config.networks, train.num_classes * ipc
        looking = [Passes(name, len(train), min(recipe.real_batch_size, len(train))) for name in networks]
        at_once = min(recipe.batch_size, images)
        steps = -(-images * self.config.steps // len(networks))
        recovering = tuple(Passes(name, steps, at_once, BY_IMAGES) for name in networks)
        held = images * train.info.channels * train.info.image_size**2  # a byte each
        return MethodWork(PhaseWork(recovering, held_bytes=2 * held), PhaseWork((*self.trainings(train), *looking)))

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Keep the statistics of the teachers' conv inputs over one epoch of augmented real images."""
        teachers, recipe = load_teachers(self.config, train, ctx), self.recipe(train.info)
        batches = torch.randperm(len(train), generator=ctx.generator).split(recipe.real_batch_size)
        sums = ConvSums(ctx.generator, ctx.device, recipe.cell_side)
        for number in ctx.track(range(len(batches)), "statistics of real images", sums):
            pixels = train.pixels(batches[number]).to(ctx.device).float() / 255
            seen = moved(pixels, train.info, ctx.generator, alike=False)
            sums.add(teachers, channels_last(train.info.normalise(seen)))
        save_file(sums.means(), ctx.cache_dir / STATISTICS_FILE)
        return ctx.cache_dir

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, S, S) uint8 pixels, sorted by class."""
        if ctx.prepared is None:
            raise RuntimeError("statistics are made by prepare(); run the method through distill() or the runner")
        config, info, recipe = self.config, train.info, self.recipe(train.info)
        teachers = load_teachers(config, train, ctx)
        kept = load_tensors(ctx.prepared / STATISTICS_FILE, "remove the folder, and it is made again")
        real = {key: value.to(ctx.device) for key, value in kept.items()}
        statistics = MovingStatistics(real, recipe.momentum, recipe.drop_rate, recipe.cell_side, ctx.generator)

        def loss_of(images: Tensor, places: Tensor, step: int, iteration: int) -> Tensor:
            labels, seen = (places // ipc).to(ctx.device), moved(images, info, ctx.generator, alike=True)
            seen = rolled(seen, config.roll, ctx.generator)
            sureness = F.cross_entropy(teachers[iteration % len(teachers)](channels_last(seen)), labels)
            gaps, density = statistics.take(FIRST_FACTOR), densification(seen, labels)
            loss: Tensor = sureness + config.statistics_weight * gaps + config.density_weight * density
            return loss

        batches = torch.arange(train.num_classes * ipc).split(recipe.batch_size)
        state = new_recovery(train, ipc, ctx, {"averages": statistics})
        with watched_teachers(teachers, statistics):
            images = recover(state, batches, config.steps, recipe.lr, loss_of, info, ctx)
        labels = torch.arange(train.num_classes).repeat_interleave(ipc)
        provenance = self.teachers_provenance(ctx)
        return DistilledDataset(images, labels, train.num_classes, ipc, "pixels", provenance=provenance)

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return the authors' recipe for the images' size, with what the settings say."""
        return recipe_for(RECIPES, info, self.config)


def moved(images: Tensor, info: DatasetInfo, generator: torch.Generator, *, alike: bool) -> Tensor:
    """Return (B, C, S, S) float images shifted or, if large, cropped, half of them mirrored; `alike`: in one way."""
    if info.image_size > LARGEST_SHIFTED:
        return enlarged(images, info, LEAST_AREA, generator, alike=alike)
    return shifted(images, info, generator, alike=alike)
