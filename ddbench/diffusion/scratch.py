"""Backbones trained on the data set itself: their shape by the size of the images, and their training.

Everything here is our choice. Up to 12 px it takes minutes on two cores; from 28 px on the default number of steps
takes most of a day there and is meant for a GPU. docs/results.md has the figures that the shapes were chosen by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.diffusion.codec import Codec
from ddbench.diffusion.denoiser import Denoiser, DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan, load_trained
from ddbench.diffusion.inputs import ChosenInputs, InputSource
from ddbench.diffusion.quality import denoising_loss, measure_backbone
from ddbench.host.files import staged_folder
from ddbench.host.kept_files import is_kept_folder, is_kept_whole, read_kept, save_kept, seal
from ddbench.images import LabeledImages
from ddbench.method import RunContext
from ddbench.seeding import draw_seed
from ddbench.training_recipe import MethodPrecision
from ddbench.work import TRAINING

SMALL = 12  # largest side of images that make one token
FEWEST_A_SIDE = 7  # tokens of larger images
MOST_TOKENS = 1024  # of an image, whose attention would not fit into memory
AVERAGE_SHARE = 0.02  # of the training, which the average of the weights spans
HELD_OUT_SHARE = 0.05  # of each class's images: never trained on, to tell a generator from one that knows them by heart
SPLIT_FILE = "split.safetensors"  # beside the denoiser's folder: which images were trained on and which held out
MOST_JUDGED = 512  # images that a loss is measured on


@dataclass(frozen=True)
class ScratchRecipe:
    """Shape and training of a transformer.

    Attributes:
        patch_size: side of a token; the whole image's makes one token.
        width: of the tokens, a multiple of 4 and of `heads`.
        depth: blocks.
        heads: attention heads.
        steps: updates.
        batch_size: images per update.
        lr: its highest rate.
    """

    patch_size: int
    width: int
    depth: int
    heads: int
    steps: int
    batch_size: int
    lr: float

    def step_flops(self, side: int) -> int:
        """Return the FLOPs of an update on inputs of a side length: products of tokens with weights and each other."""
        tokens = (side // self.patch_size) ** 2
        of_token = 24 * self.width**2 + 4 * tokens * self.width
        forward = self.depth * (tokens * of_token + 12 * self.width**2)  # the latter modulates by class and time
        return TRAINING * self.batch_size * forward

    def with_given(self, given: dict[str, Any]) -> ScratchRecipe:
        """Return it with the values that are given, those of None left out."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def recipe_for(side: int) -> ScratchRecipe:
    """Return what suits denoised images, or latents, of a side length."""
    if side <= SMALL:
        return ScratchRecipe(patch_size=side, width=128, depth=4, heads=4, steps=4000, batch_size=128, lr=2e-3)
    patch_size = max(size for size in range(1, side // FEWEST_A_SIDE + 1) if side % size == 0)
    return ScratchRecipe(patch_size, width=256, depth=6, heads=4, steps=20_000, batch_size=64, lr=1e-3)


def train_from_scratch(
    recipe: ScratchRecipe,
    precision: MethodPrecision,
    inputs: InputSource,
    codec: Codec,
    train: LabeledImages,
    folder: Path,
    ctx: RunContext,
) -> None:
    """Train a transformer on most of the images and keep it in `folder`, as diffusers does.

    Args:
        recipe: its shape and training.
        precision: of the forward passes.
        inputs: all training images, as the denoiser's inputs.
        codec: what its inputs come from.
        train: the training images.
        folder: left alone where it holds a trained one; written whole or not at all.
        ctx: device, generator, progress.
    """
    if is_kept_folder(folder):
        return
    denoiser = make_denoiser(_shape_of(recipe, codec, train))
    denoiser.initialise(ctx.generator)
    seed = draw_seed(ctx.generator)
    kept, held = hold_out(inputs.labels, ctx.generator)
    if not is_kept_whole(folder.parent / SPLIT_FILE):
        save_kept({"kept": kept, "held": held}, folder.parent / SPLIT_FILE)
    plan = TuningPlan(
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        ema_decay=1 - 1 / max(2, round(AVERAGE_SHARE * recipe.steps)),
        trainable="full",
        flips=train.info.may_be_mirrored,
        precision=precision,
        rate="cosine",
    )
    class_ids = torch.arange(train.num_classes)
    training = FineTuning(denoiser.to(ctx.device), ChosenInputs(inputs, kept), class_ids, plan, seed)
    training.run_all(ctx, "training the backbone")
    load_trained(denoiser, training.average)
    with staged_folder(folder) as staging:
        denoiser.save(staging)
        seal(staging, folder)


def judge_scratch(
    denoiser: Denoiser, inputs: InputSource, codec: Codec, train: LabeledImages, folder: Path, ctx: RunContext
) -> dict[str, Any]:
    """Return what `measure_backbone` finds, with the losses on images trained on and held out, None where none were.

    Args:
        denoiser: the trained one, on the device.
        inputs: all training images, as in its training.
        codec: what its inputs are decoded by.
        train: the training images.
        folder: where `train_from_scratch` kept it.
        ctx: device and progress.
    """
    class_ids = torch.arange(train.num_classes)
    split, _ = read_kept(folder.parent / SPLIT_FILE)
    kept, held = split["kept"], split["held"][:MOST_JUDGED]
    return {
        **measure_backbone(denoiser, codec, class_ids, train, ctx),
        "loss": denoising_loss(denoiser, ChosenInputs(inputs, kept[: max(1, len(held))]), class_ids, seed=0),
        "held_out_loss": denoising_loss(denoiser, ChosenInputs(inputs, held), class_ids, seed=0) if len(held) else None,
    }


def hold_out(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the indices of images to train on and of those held out, in random order; each class keeps its share.

    Where that is less than one image of every class, one image is held out, of a class that has others; none where no
    class does.

    Args:
        labels: (N,) int64.
        generator: of the choice.
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        of_class = order[shuffled == label]
        held[of_class[: round(HELD_OUT_SHARE * len(of_class))]] = True
    if not held.any():
        held[order[torch.bincount(labels)[shuffled] > 1][:1]] = True
    return order[~held[order]], order[held[order]]


def _shape_of(recipe: ScratchRecipe, codec: Codec, train: LabeledImages) -> DenoiserShape:
    return DenoiserShape(
        image_size=train.info.image_size // codec.downsampling,
        channels=codec.channels_of(train.info.channels),
        num_classes=train.num_classes,
        patch_size=recipe.patch_size,
        width=recipe.width,
        depth=recipe.depth,
        heads=recipe.heads,
    )
