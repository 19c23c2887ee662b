"""What methods share that draw their set from a diffusion transformer fine-tuned on the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ddbench.diffusion.backbone import NO_VAE
from ddbench.diffusion.criteria_space import INPUTS, CriteriaSpace
from ddbench.diffusion.denoiser import Denoiser
from ddbench.diffusion.difffit import Trainable, fold_gammas, make_trainable
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan, load_trained, scaled_ema_decay
from ddbench.diffusion.foundation import (
    SCRATCH,
    BackboneConfig,
    backbone_class_ids,
    backbone_foundation,
    backbone_quality,
    backbone_unsupported,
    foundation_of,
    load_backbone,
    load_codec_on,
    load_inputs,
    scratch_step_flops,
    training_images,
)
from ddbench.diffusion.guidance import Guide
from ddbench.diffusion.inputs import InputSource
from ddbench.diffusion.quality import warn_of_poor_backbone
from ddbench.diffusion.sampling import Sampler, SamplingPlan, draw_images, sampling_batches, split_evenly
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.chunks import in_chunks
from ddbench.host.files import load_tensors
from ddbench.host.kept_files import is_kept_whole, save_kept
from ddbench.images import LabeledImages
from ddbench.method import Foundation, Method, RunContext
from ddbench.seeding import draw_seed


@dataclass(frozen=True)
class DiffusionConfig(BackboneConfig):
    """Settings of fine-tuning and sampling; the defaults are the paper's for 10 ImageNet classes.

    Its runs take the checkpoint at 12,000 steps. `ema_decay` of None keeps the reference's lag over a run of any
    length. Classes are fine-tuned `classes_per_phase` at a time, each phase for `steps` (our choice: the paper's ten).
    `batch_parts` cuts a batch up to save memory, and `devices` share one (GPUs, or processes on a CPU). With `steps` of
    0 the backbone is sampled as it is.
    """

    steps: Annotated[int, Field(ge=0)] = 12_000
    batch_size: Annotated[int, Field(gt=0)] = 8
    batch_parts: Annotated[int, Field(gt=0)] = 1
    devices: Annotated[int, Field(gt=0)] = 1
    lr: Annotated[float, Field(gt=0)] = 1e-3
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    trainable: Trainable = "difffit"
    classes_per_phase: Annotated[int, Field(gt=0)] = 10
    sampler: Sampler = "ddpm"
    sampling_steps: Annotated[int, Field(gt=1, le=1000)] = 50
    guidance: Annotated[float, Field(ge=1)] = 4.0
    sampling_batch_size: Annotated[int, Field(gt=0)] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = self.batch_parts * self.devices
        if parts > self.batch_size or (self.devices > 1 and self.batch_size % parts):
            raise ValueError(
                f"batch_size must be a multiple of batch_parts * devices = {parts}, got {self.batch_size}"
                if self.devices > 1
                else f"batch_parts must be at most batch_size, got {self.batch_parts} and {self.batch_size}"
            )


class DiffusionMethod(Method):
    """A method that fine-tunes a backbone once for every IPC and draws the set from it."""

    Config = DiffusionConfig
    prepare_name: ClassVar[str] = "fine_tuned"
    # Those of sampling. Several `devices` add floats in another order, so their weights are others.
    prepare_ignores: ClassVar[tuple[str, ...]] = ("sampler", "sampling_steps", "guidance", "sampling_batch_size")
    smoke_settings: ClassVar[dict[str, Any]] = {
        "backbone": SCRATCH,
        "vae": NO_VAE,
        "scratch_width": 16,
        "scratch_depth": 2,
        "scratch_heads": 2,
        "scratch_steps": 3,
        "scratch_batch_size": 8,
        "steps": 3,
        "sampling_steps": 3,
    }

    def foundation(self) -> Foundation:
        """Return the backbone, shared by every seed and by every method of this kind."""
        return backbone_foundation(self.config)

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where the backbone is missing or does not fit; any IPC can be drawn."""
        return backbone_unsupported(self.config, train)

    def step_flops(self, train: LabeledImages) -> int | None:
        """Return those of training the backbone from scratch; given ones are large."""
        return scratch_step_flops(self.config, train) if self.config.backbone == SCRATCH else None

    def plan(self, train: LabeledImages) -> TuningPlan:
        """Return how the backbone is fine-tuned."""
        config = self.config
        return TuningPlan(
            steps=config.steps,
            batch_size=config.batch_size,
            lr=config.lr,
            ema_decay=scaled_ema_decay(config.steps) if config.ema_decay is None else config.ema_decay,
            trainable=config.trainable,
            flips=train.info.may_be_mirrored,
            parts=config.batch_parts,
            devices=config.devices,
            precision=config.precision,
        )

    def criteria_space(self, train: LabeledImages, ctx: RunContext) -> Callable[[InputSource], CriteriaSpace]:
        """Return what makes the space in which criteria compare samples; of no meaning without them."""
        return lambda inputs: INPUTS

    def sampling_plan(self) -> SamplingPlan:
        """Return how the set is drawn."""
        config = self.config
        return SamplingPlan(config.sampler, config.sampling_steps, config.guidance, clips=config.vae == NO_VAE)

    def starts(
        self, train: LabeledImages, classes: list[int], ipc: int, seed: int, ctx: RunContext
    ) -> Mapping[int, Tensor] | None:
        """Return by label what its images are drawn from, (ipc, C, H, W) inputs; None for noise alone."""
        return None

    def guide(self, train: LabeledImages, classes: list[int], ipc: int, seed: int, ctx: RunContext) -> Guide | None:
        """Return what adds to the images of some classes while they are drawn; None for nothing."""
        return None

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Fine-tune the backbone phase by phase; of each keep the averaged tensors that were trained."""
        train = training_images(self.config, train)
        seed = draw_seed(ctx.generator)
        phases, make_space = self._phases(train), None
        for number, classes in enumerate(phases if self.config.steps else []):
            path = _phase_path(ctx.cache_dir, number)
            if is_kept_whole(path):
                continue
            denoiser = load_backbone(self.config, train, ctx)
            inputs = load_inputs(self.config, train, classes, foundation_of(ctx))
            ids = backbone_class_ids(self.config, train, denoiser)
            make_space = make_space or self.criteria_space(train, ctx)
            training = FineTuning(denoiser, inputs, ids, self.plan(train), seed + number, make_space(inputs))
            training.run_all(ctx, f"fine-tuning, phase {number + 1} of {len(phases)}")
            save_kept(training.average, path)
        return ctx.cache_dir

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 images, sorted by class; from noise, a smaller IPC's are a larger one's."""
        train = training_images(self.config, train)
        config, info = self.config, train.info
        seed = draw_seed(ctx.generator)
        quality = backbone_quality(config, ctx)
        if quality is not None:
            warn_of_poor_backbone(quality)
        codec = load_codec_on(config, ctx)
        plan = self.sampling_plan()
        drawn = _Drawn(torch.zeros(info.num_classes, ipc, *train.images.shape[1:], dtype=torch.uint8))
        for number, classes in enumerate(self._phases(train)):
            denoiser = self._load_fine_tuned(train, number, ctx)
            ids = backbone_class_ids(config, train, denoiser)
            starts = self.starts(train, classes, ipc, seed, ctx)
            guide = self.guide(train, classes, ipc, seed, ctx)
            batches = list(sampling_batches(classes, ipc, config.sampling_batch_size))
            for index, labels in ctx.track(batches, f"sampling, phase {number + 1}", drawn):
                own = None if starts is None else {label: of_class[index] for label, of_class in starts.items()}
                draw = partial(
                    draw_images, denoiser, index=index, class_ids=ids, plan=plan, seed=seed, starts=own, guide=guide
                )
                inputs = torch.cat(in_chunks("sampling_batch", draw, labels, len(labels)))
                drawn.images[labels, index] = codec.decode(inputs).cpu()
        return DistilledDataset(
            images=drawn.images.flatten(0, 1),
            labels=torch.arange(info.num_classes).repeat_interleave(ipc),
            num_classes=info.num_classes,
            ipc=ipc,
            space="pixels",
            provenance={} if quality is None else {"engine": {"backbone": quality}},
        )

    def _phases(self, train: LabeledImages) -> list[list[int]]:
        return split_evenly(range(train.num_classes), self.config.classes_per_phase)

    def _load_fine_tuned(self, train: LabeledImages, number: int, ctx: RunContext) -> Denoiser:
        """Return the denoiser of a phase, a plain DiT again."""
        denoiser = load_backbone(self.config, train, ctx)
        if self.config.steps:
            if ctx.prepared is None:
                raise RuntimeError("fine-tuning is done by prepare(); run the method through distill() or the runner")
            tensors = load_tensors(_phase_path(ctx.prepared, number), "run it again to fine-tune it again")
            make_trainable(denoiser, self.config.trainable)
            load_trained(denoiser, tensors)
            fold_gammas(denoiser)
        return denoiser.eval().requires_grad_(False)


class _Drawn:
    """Images drawn so far, (K, ipc, C, H, W) uint8: the state of sampling, whose draws follow from class and index."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def save_state(self) -> dict[str, Tensor]:
        return {"images": self.images}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.images.copy_(state["images"])


def _phase_path(folder: Path, number: int) -> Path:
    return folder / f"phase-{number:03d}.safetensors"
