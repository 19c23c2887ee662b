"""Features of real images from a network trained briefly on them: what selection by distance needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddbench.method import Method, RunContext
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.records import LabeledImages
from ddbench.students.loop import TrainingPlan, chunk_size, forward_in_chunks
from ddbench.students.trainer import train_network
from ddbench.work import TRAINING, VALUE_BYTES, MethodWork, Passes, PhaseWork, profile_network

FEATURES_FILE = "features.safetensors"


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
    """A method that works on features; they are computed once for every IPC and every method of this kind."""

    Config = FeatureConfig
    prepare_name: ClassVar[str] = "features"
    smoke_settings: ClassVar[dict[str, Any]] = {"feature_network": "convnet-d1-w8", "feature_epochs": 1}

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Train the feature network and keep the (N, D) float32 features of all training images, not augmented."""
        config = self.config
        network = make_network(config.feature_network, InputShape.of(train.info), ctx.generator).to(ctx.device)
        plan = TrainingPlan(
            schedule=Schedule.with_late_drop(config.feature_epochs),
            lr=config.feature_lr,
            batch_size=config.feature_batch_size,
            augmentation="",
        )
        train_network(network, train, plan, ctx.generator, ctx.track)
        features = forward_in_chunks(network, train, ctx.device, embed=True)
        save_file({"features": features.cpu().contiguous()}, ctx.cache_dir / FEATURES_FILE)
        return ctx.cache_dir

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return the training of the feature network and one pass over all images; choosing is not counted."""
        config = self.config
        profile = profile_network(config.feature_network, InputShape.of(train.info))
        features = len(train) * profile.embedding * VALUE_BYTES
        batch_size = min(config.feature_batch_size, len(train))
        training = Passes(config.feature_network, config.feature_epochs * len(train), batch_size, TRAINING)
        embedding = Passes(config.feature_network, len(train), chunk_size(torch.device("cpu")))
        prepare = PhaseWork((training, embedding), held_bytes=2 * features)  # in parts, and joined
        return MethodWork(PhaseWork(held_bytes=features), prepare)

    def features_by_class(self, train: LabeledImages, ctx: RunContext) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each class in order, the (n,) indices of its images and their (n, D) float32 features."""
        if ctx.prepared is None:
            raise RuntimeError("features are made by prepare(); run the method through distill() or the runner")
        features = load_file(ctx.prepared / FEATURES_FILE)["features"]
        for label in range(train.num_classes):
            indices = train.of_class(label)
            yield indices, features[indices]
