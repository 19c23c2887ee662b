"""Features of real images from a network trained briefly on them: what selection by distance needs.

Up to `KEPT_BYTES` of them are computed once and kept. Of more, 500 GiB for ImageNet-1k at 224 px, the network is kept,
and the features of one class at a time are computed from its images whenever a set is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor

from ddbench.engine.chunks import in_chunks
from ddbench.host.files import load_tensors
from ddbench.images import LabeledImages
from ddbench.method import Method, RunContext
from ddbench.methods._coresets.selection import Chosen
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, channels_last, chunk_size, forward_in_chunks
from ddbench.students.trainer import train_network
from ddbench.work import TRAINING, VALUE_BYTES, MethodWork, Passes, PhaseWork, profile_network

FEATURES_FILE = "features.safetensors"
NETWORK_FILE = "network.safetensors"  # in the place of the features
KEPT_BYTES = 2**30  # our choice: those of CIFAR's 50,000 images by convnet-d3 fit, those of Tiny ImageNet do not
WORKING_COPIES = 4  # of a class's features: in chunks and joined, or as differences and their squares


@dataclass(frozen=True)
class FeatureConfig:
    """Which network gives the features and how long it is trained; all values are our choice.

    The literature selects with a network trained on the whole real set without stating for how long; ten epochs bring
    a convnet most of the way.
    """

    feature_network: str = "convnet-d3"
    feature_epochs: Annotated[int, Field(gt=0)] = 10
    feature_lr: Annotated[float, Field(gt=0)] = 0.01
    feature_batch_size: Annotated[int, Field(gt=0)] = 128


class FeatureMethod(Method):
    """A method that works on features; they, or their network, are made once for every IPC and method of this kind."""

    Config = FeatureConfig
    prepare_name: ClassVar[str] = "features"
    smoke_settings: ClassVar[dict[str, Any]] = {"feature_network": "convnet-d1-w8", "feature_epochs": 1}

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Train the feature network and keep the (N, D) float32 features of all training images, not augmented.

        Where they are too many the network's parameters are kept in their place.
        """
        config = self.config
        network = make_network(config.feature_network, InputShape.of(train.info), ctx.generator).to(ctx.device)
        plan = TrainingPlan(
            schedule=Schedule.with_late_drop(config.feature_epochs),
            lr=config.feature_lr,
            batch_size=config.feature_batch_size,
            augmentation="",
        )
        train_network(network, train, plan, ctx.generator, ctx.track)
        if self._num_bytes(train, len(train)) > KEPT_BYTES:
            parameters = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
            save_file(parameters, ctx.cache_dir / NETWORK_FILE)
            return ctx.cache_dir
        features = forward_in_chunks(network, train, ctx.device, embed=True)
        save_file({"features": features.cpu().contiguous()}, ctx.cache_dir / FEATURES_FILE)
        return ctx.cache_dir

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the training of the feature network and one pass over all images; choosing is not counted."""
        config = self.config
        features = self._num_bytes(train, len(train))
        batch_size = min(config.feature_batch_size, len(train))
        training = Passes(config.feature_network, config.feature_epochs * len(train), batch_size, TRAINING)
        embedding = Passes(config.feature_network, len(train), chunk_size(torch.device("cpu")))
        if features > KEPT_BYTES:
            held = WORKING_COPIES * self._num_bytes(train, int(train.class_counts().max()))
            return MethodWork(PhaseWork((embedding,), held), PhaseWork((training,)))
        prepare = PhaseWork((training, embedding), held_bytes=2 * features)  # in parts, and joined
        return MethodWork(PhaseWork(held_bytes=features), prepare)

    def choose(self, train: LabeledImages, ctx: RunContext, select: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Return the indices of the images chosen of each class, one class in memory at a time; resumable.

        Args:
            train: the real training split.
            ctx: with what `prepare` has made.
            select: gives positions (ipc,) int64 among the (n, D) float32 features of a class; may draw from the
                context's generator.
        """
        features_of, chosen = self._features(train, ctx), Chosen(ctx.generator)
        for label in ctx.track(range(train.num_classes), "choosing images", chosen):
            indices = train.of_class(label)
            chosen.parts.append(indices[select(features_of(indices))])
        return chosen.parts

    def _features(self, train: LabeledImages, ctx: RunContext) -> Callable[[Tensor], Tensor]:
        """Return a function that gives the (n, D) float32 features of the images at (n,) indices."""
        if ctx.prepared is None:
            raise RuntimeError("features are made by prepare(); run the method through distill() or the runner")
        again = "remove the folder, and it is made again"
        if (ctx.prepared / FEATURES_FILE).exists():
            kept = load_tensors(ctx.prepared / FEATURES_FILE, again)["features"]
            return lambda indices: kept[indices]
        network = make_network(self.config.feature_network, InputShape.of(train.info), torch.Generator())
        network.load_state_dict(load_tensors(ctx.prepared / NETWORK_FILE, again))
        network.to(ctx.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        return lambda indices: _embed(network, train, indices, ctx.device)

    def _num_bytes(self, train: LabeledImages, count: int) -> int:
        profile = profile_network(self.config.feature_network, InputShape.of(train.info))
        return count * profile.embedding * VALUE_BYTES


def _embed(network: Network, train: LabeledImages, indices: Tensor, device: torch.device) -> Tensor:
    """Return the (n, D) float32 embeddings of the images at (n,) indices, on the CPU."""

    def run(chunk: Tensor) -> Tensor:
        return network.embed(channels_last(train.normalised(chunk, device))).cpu()

    return torch.cat(in_chunks("test_chunk", run, indices, chunk_size(device)))
