"""The backbone of generative methods: given weights, or a small transformer trained on the data set itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ddbench.diffusion.backbone import (
    NO_VAE,
    check_backbone,
    check_fits,
    class_ids_of,
    input_of,
    load_codec,
    load_denoiser,
    missing_reason,
)
from ddbench.diffusion.codec import Codec, VaeCodec
from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.inputs import EncodedInputs, InputSource, PixelInputs, encode_classes
from ddbench.diffusion.quality import read_quality, save_quality
from ddbench.diffusion.scratch import (
    AVERAGE_SHARE,
    HELD_OUT_SHARE,
    MOST_TOKENS,
    SMALL,
    ScratchRecipe,
    judge_scratch,
    recipe_for,
    train_from_scratch,
)
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.images import LabeledImages
from ddbench.method import ADDED, Foundation, RunContext
from ddbench.training_recipe import MethodPrecision

SCRATCH = "scratch"
DENOISER_FOLDER, INPUTS_FOLDER = "denoiser", "inputs"


@dataclass(frozen=True)
class BackboneConfig:
    """Which backbone: the default is the paper's.

    `backbone` is a diffusers folder or cached hub id, an original `.pt` checkpoint, or `scratch`: a small transformer
    trained on the data set, whose size and training the `scratch_` fields give; None is what suits the images' side,
    see `ddbench.diffusion.scratch`.
    `image_size` is the side in pixels that it is fine-tuned and draws at, with None the data set's own: the paper draws
    at 256 what its students see at 224.
    `vae` is a folder or cached hub id, or `none` for pixel space. `precision` is that of training's forward passes.
    """

    backbone: str = "facebook/DiT-XL-2-256"
    vae: str = "stabilityai/sd-vae-ft-mse"
    scratch_width: Annotated[int, Field(gt=0, multiple_of=4)] | None = None
    scratch_depth: Annotated[int, Field(gt=1)] | None = None
    scratch_heads: Annotated[int, Field(gt=0)] | None = None
    scratch_patch_size: Annotated[int, Field(gt=0)] | None = None
    scratch_steps: Annotated[int, Field(gt=0)] | None = None
    scratch_batch_size: Annotated[int, Field(gt=0)] | None = None
    scratch_lr: Annotated[float, Field(gt=0)] | None = None
    precision: MethodPrecision = "fp32"
    image_size: Annotated[int, Field(gt=0)] | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        for recipe in (self.recipe(SMALL), self.recipe(SMALL + 1)):  # the side is not known yet
            if recipe.width % recipe.heads:
                pair = f"{recipe.width} and {recipe.heads}"
                raise ValueError(f"scratch_width must be a multiple of scratch_heads, got {pair}")

    def recipe(self, side: int) -> ScratchRecipe:
        """Return shape and training of a transformer from scratch for inputs of a side length."""
        names = ScratchRecipe.__dataclass_fields__
        return recipe_for(side).with_given({name: getattr(self, f"scratch_{name}") for name in names})


def backbone_foundation(config: BackboneConfig) -> Foundation:
    """Return the work done once for all seeds: images encoded and, for `scratch`, the transformer trained on them."""
    scratch = [name for name in BackboneConfig.__dataclass_fields__ if name.startswith("scratch_")]
    names = ["vae", *(["backbone", "precision", *scratch] if config.backbone == SCRATCH else [])]
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    if config.backbone == SCRATCH:  # what None stands for, so that another choice of ours is another backbone
        settings["recipes"] = [vars(config.recipe(side)) for side in (SMALL, SMALL + 1, 32)]
        settings["shares"] = [AVERAGE_SHARE, HELD_OUT_SHARE]
    if config.image_size is not None:
        settings["image_size"] = config.image_size

    def fill(train: LabeledImages, ctx: RunContext) -> Path:
        train = training_images(config, train)
        codec = load_codec_on(config, ctx)
        if codec.is_stochastic:
            encode_classes(train, codec, ctx.cache_dir / INPUTS_FOLDER, ctx.device, ctx.track)
        if config.backbone == SCRATCH:
            recipe, inputs = _recipe_and_inputs(config, codec, train, ctx.cache_dir)
            train_from_scratch(recipe, config.precision, inputs, codec, train, ctx.cache_dir / DENOISER_FOLDER, ctx)
        return ctx.cache_dir

    def judge(train: LabeledImages, ctx: RunContext) -> None:
        train = training_images(config, train)
        codec = load_codec_on(config, ctx)
        recipe, inputs = _recipe_and_inputs(config, codec, train, ctx.cache_dir)
        folder = ctx.cache_dir / DENOISER_FOLDER
        denoiser = load_denoiser(str(folder)).to(ctx.device)
        found = judge_scratch(denoiser, inputs, codec, train, folder, ctx)
        save_quality({"trained": {**vars(recipe), "precision": config.precision}, **found}, ctx.cache_dir)

    return Foundation("backbone", settings, fill, judge if config.backbone == SCRATCH else None)


def training_images(config: BackboneConfig, train: LabeledImages) -> LabeledImages:
    """Return the training split at the side length that the backbone works at; BadInputError where there is none."""
    return train if config.image_size is None else train.at_size(config.image_size)


def scratch_step_flops(config: BackboneConfig, train: LabeledImages) -> int:
    """Return the FLOPs of an update of a backbone that is trained on the data set."""
    _, side = input_of(config.vae, training_images(config, train).info)
    return config.recipe(side).step_flops(side)


def backbone_unsupported(config: BackboneConfig, train: LabeledImages) -> str | None:
    """Return the reason where weights are missing or the backbone does not fit the data set, else None."""
    models = [(config.backbone, "transformer")] if config.backbone != SCRATCH else []
    models += [(config.vae, "vae")] if config.vae != NO_VAE else []
    for source, subfolder in models:
        if reason := missing_reason(source, subfolder):
            return reason
    try:
        info = training_images(config, train).info
    except BadInputError as error:
        return str(error)
    try:
        _, side = input_of(config.vae, info)
        if config.backbone != SCRATCH:
            check_backbone(config.backbone, config.vae, info)
        elif (tokens := (side // (patch := config.recipe(side).patch_size)) ** 2) > MOST_TOKENS:
            return (
                f"patches of {patch} make {tokens} tokens of {side}x{side}, above {MOST_TOKENS}; set scratch_patch_size"
            )
        elif side % patch:
            return f"scratch_patch_size must divide {side}, the side of what is denoised, got {patch}"
    except (BadInputError, DataMismatchError) as error:
        return str(error)
    return None


def load_backbone(config: BackboneConfig, train: LabeledImages, ctx: RunContext) -> Denoiser:
    """Return a fresh copy of the backbone on the device; `ctx.foundation` holds one trained from scratch."""
    source = str(foundation_of(ctx) / DENOISER_FOLDER) if config.backbone == SCRATCH else config.backbone
    denoiser = load_denoiser(source)
    check_fits(denoiser, config.vae, train.info)
    return denoiser.to(ctx.device)


def backbone_quality(config: BackboneConfig, ctx: RunContext) -> dict[str, Any] | None:
    """Return how good a backbone from scratch was found to be; None for given ones, of which nothing is measured."""
    return read_quality(foundation_of(ctx)) if config.backbone == SCRATCH else None


def backbone_class_ids(config: BackboneConfig, train: LabeledImages, denoiser: Denoiser) -> Tensor:
    """Return the backbone's class id of each label, (K,) int64; one from scratch knows the labels themselves."""
    if config.backbone == SCRATCH:
        return torch.arange(train.num_classes)
    return class_ids_of(train.info, denoiser.null_class)


def load_codec_on(config: BackboneConfig, ctx: RunContext) -> Codec:
    """Return the codec, on the device."""
    codec = load_codec(config.vae)
    if isinstance(codec, VaeCodec):
        codec.vae.to(ctx.device)
    return codec


def load_inputs(config: BackboneConfig, train: LabeledImages, classes: list[int], folder: Path) -> InputSource:
    """Return the training images of some classes as the denoiser's inputs; `folder` is the foundation's."""
    if config.vae == NO_VAE:
        return PixelInputs(train, classes, load_codec(config.vae))
    return EncodedInputs(folder / INPUTS_FOLDER, classes)


def foundation_of(ctx: RunContext) -> Path:
    """Return the foundation's folder; raises RuntimeError where the method was called without one."""
    if ctx.foundation is None:
        raise RuntimeError("the backbone is a foundation; run the method through distill() or the runner")
    return ctx.foundation


def _recipe_and_inputs(
    config: BackboneConfig, codec: Codec, train: LabeledImages, folder: Path
) -> tuple[ScratchRecipe, InputSource]:
    """Return how a backbone from scratch is trained and all that it is trained on."""
    recipe = config.recipe(train.info.image_size // codec.downsampling)
    return recipe, load_inputs(config, train, list(range(train.num_classes)), folder)
