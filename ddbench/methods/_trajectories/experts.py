"""Expert trajectories: networks trained on the real data, their parameters kept after every epoch.

Paper: Cazenavette et al., CVPR 2022 (arXiv 2203.11932). Checked against: GeorgeCazenavette/mtt-distillation, buffer.py.
Differs from it: one file per expert, whose epochs are read one by one from disk instead of all being held in memory;
scaling and rotation sample with `align_corners=False`, as all other methods here, the same on square images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ddbench.augment.dsa import dsa_augment
from ddbench.augment.strategies import dsa_strategy
from ddbench.augment.zca import fit_zca, whiten, zca_unsupported
from ddbench.distilled.files import save_whitening
from ddbench.engine.compiled import compiling_pays
from ddbench.engine.passes import derivatives_chunk
from ddbench.errors import DataMismatchError
from ddbench.images import LabeledImages, Whitening
from ddbench.method import Method, RunContext
from ddbench.methods._trajectories.expert_files import (
    Expert,
    expert_path,
    find_whitening,
    has_expert,
    keeps_expert,
    save_expert,
)
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.network import InputShape, make_network
from ddbench.seeding import draw_seed
from ddbench.students.loop import TrainingSet, channels_last
from ddbench.work import TRAINING, VALUE_BYTES, Passes, PhaseWork, image_bytes, profile_network

STORED_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ExpertConfig:
    """How experts are trained and kept; the defaults are buffer.py's, with ZCA as in the paper's CIFAR-10 rows."""

    network: str = "convnet-d3"
    zca: bool = True
    num_experts: Annotated[int, Field(gt=0)] = 100
    trajectory_epochs: Annotated[int, Field(gt=0)] = 50
    trajectory_lr: Annotated[float, Field(gt=0)] = 0.01
    trajectory_batch_size: Annotated[int, Field(gt=0)] = 256
    stored_precision: Literal["fp32", "bf16"] = "fp32"


class ExpertMethod(Method):
    """A method that follows experts; they are trained once for every IPC and every method of this kind."""

    Config = ExpertConfig
    prepare_name: ClassVar[str] = "experts"
    smoke_settings: ClassVar[dict[str, Any]] = {
        "network": "convnet-d1-w8",
        "num_experts": 2,
        "trajectory_epochs": 3,
    }

    def prepare(self, train: LabeledImages, ctx: RunContext) -> Path:
        """Train the experts that are missing and keep each as (epochs + 1, P) parameters in a file of its own."""
        config = self.config
        whitening = _whitening_of(train, ctx) if config.zca else None
        images, labels = real_in_space(train, whitening, ctx.device)
        data = TrainingSet(images, labels, train.info)
        identity = self.identity(train, whitening)
        seeds = [draw_seed(ctx.generator) for _ in range(config.num_experts)]
        missing = [i for i in range(config.num_experts) if not keeps_expert(expert_path(ctx.cache_dir, i), identity)]
        passes = 3 * len(train) * config.num_experts * config.trajectory_epochs  # forward, and backward as twice that
        network = self.flat_network(train, ctx, passes, min(config.trajectory_batch_size, len(train)))
        at_once = experts_at_once(ctx.device, train.info.image_size)
        for first in range(0, len(missing), at_once):
            group = missing[first : first + at_once]
            training = ExpertTraining(config, data, network, [seeds[index] for index in group])
            names = ", ".join(str(index + 1) for index in group)
            for step in ctx.track(training.steps, f"training expert {names} of {config.num_experts}", training):
                training.run(step)
            for index, trajectory in zip(group, training.trajectories, strict=True):
                save_expert(trajectory.to(STORED_DTYPES[config.stored_precision]), ctx.cache_dir, index, identity)
        return ctx.cache_dir

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return the reason where images are too large for ZCA or the network has batch norm, else as usual."""
        if self.config.zca and (reason := zca_unsupported(train.info)):
            return f"{reason} (--set zca=false)"
        network = make_network(self.config.network, InputShape.of(train.info), torch.Generator())
        if next(network.buffers(), None) is not None:
            return (
                f"network {self.config.network} keeps running statistics, which a trajectory of parameters leaves out; "
                "use one without batch norm"
            )
        return super().unsupported(train, ipc)

    def expert_work(self, train: LabeledImages) -> PhaseWork:
        """Return the training of all experts one by one, with the whole real set and one path held."""
        config, shape = self.config, InputShape.of(train.info)
        parameters = profile_network(config.network, shape).parameters
        path = (config.trajectory_epochs + 1) * parameters * VALUE_BYTES
        pixels = image_bytes(len(train), shape) if config.zca else len(train) * shape.channels * shape.image_size**2
        images = config.num_experts * config.trajectory_epochs * len(train)
        passes = self.flat_passes(shape, images, min(config.trajectory_batch_size, len(train)), TRAINING)
        return PhaseWork((passes,), held_bytes=pixels + 2 * path)

    def flat_passes(self, shape: InputShape, images: int, batch_size: int, cost: int) -> Passes:
        """Return `images` going through a `flat_network` on a CPU in batches of a size."""
        chunk = derivatives_chunk(self.config.network, shape, batch_size)
        return Passes(self.config.network, images, chunk, cost, is_native=True)

    def identity(self, train: LabeledImages, whitening: Whitening | None) -> dict[str, str]:
        """Return what every expert file says about itself, so that experts of other work are refused."""
        network = make_network(self.config.network, InputShape.of(train.info), torch.Generator())
        return {
            "dataset": f"{train.info.name} ({train.info.fingerprint})",
            "network": self.config.network,
            "whitening": whitening.hash if whitening else "none",
            "epochs": str(self.config.trajectory_epochs),
            "training": f"lr {self.config.trajectory_lr:g}, batches of {self.config.trajectory_batch_size}",
            "parameter count": str(len(flatten_parameters(network))),
        }

    def flat_network(self, train: LabeledImages, ctx: RunContext, passes: int, batch_size: int) -> FlatNetwork:
        """Return the experts' network for flat parameters, in native form, or compiled where `passes` images pay."""
        shape = InputShape.of(train.info)
        network = make_network(self.config.network, shape, torch.Generator().manual_seed(0))
        return FlatNetwork(
            network.requires_grad_(False).to(ctx.device),
            compiles=compiling_pays(passes, shape.image_size, ctx.device),
            batch_size=batch_size,
            chunk=derivatives_chunk(self.config.network, shape, batch_size),
        )

    def load_experts(self, train: LabeledImages, ctx: RunContext) -> tuple[list[Expert], Whitening | None]:
        """Return the prepared experts, opened but not read, and the whitening they were trained with.

        Raises:
            DataMismatchError: a file is missing, truncated, or of another data set, network or whitening.
        """
        if ctx.prepared is None:
            raise RuntimeError("experts are trained by prepare(); run the method through distill() or the runner")
        whitening = find_whitening(ctx.prepared) if self.config.zca else None
        if self.config.zca and whitening is None:
            raise DataMismatchError(
                f"the whitening of the experts in {ctx.prepared} is missing; run it again to fit it again"
            )
        identity = self.identity(train, whitening)
        experts = []
        for index in range(self.config.num_experts):
            path = expert_path(ctx.prepared, index)
            if not has_expert(path, identity):
                raise DataMismatchError(f"expert file {path} is missing; run it again to train that expert again")
            experts.append(Expert(path))
        return experts, whitening


class ExpertTraining:
    """Plain SGD on DSA-augmented real images, for one expert or a group of them in one vectorised call.

    Each expert draws from a generator of its own, so that grouping does not change it. A `Resumable` state.

    Attributes:
        steps: the steps of the whole training.
        trajectories: (E, epochs + 1, P) float32 parameters at the start and after every epoch, on the CPU.
    """

    def __init__(self, config: ExpertConfig, data: TrainingSet, network: FlatNetwork, seeds: Sequence[int]) -> None:
        self._config, self._data, self._network = config, data, network
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        shape = InputShape.of(data.info)
        starts = [flatten_parameters(make_network(config.network, shape, g)) for g in self._generators]
        self._parameters = torch.stack(starts).to(data.images.device)
        self.trajectories = torch.zeros(len(seeds), config.trajectory_epochs + 1, starts[0].numel())
        self.trajectories[:, 0] = self._parameters.cpu()
        self._orders = torch.empty(0, dtype=torch.int64)
        self._batches_per_epoch = -(-len(data.images) // config.trajectory_batch_size)
        self.steps = range(config.trajectory_epochs * self._batches_per_epoch)

    def run(self, step: int) -> None:
        """Take one step; steps must be taken in order."""
        epoch, batch = divmod(step, self._batches_per_epoch)
        if batch == 0:
            count = len(self._data.images)
            self._orders = torch.stack([torch.randperm(count, generator=g) for g in self._generators])
        size = self._config.trajectory_batch_size
        images, labels = self._draw_batches(self._orders[:, batch * size : (batch + 1) * size])
        if len(images) == 1:
            gradients = self._network.gradient(self._parameters[0], channels_last(images[0]), labels[0])[None]
        else:
            gradients = self._network.gradients(self._parameters, torch.stack(images), torch.stack(labels))
        self._parameters = self._parameters - self._config.trajectory_lr * gradients
        if batch == self._batches_per_epoch - 1:
            self.trajectories[:, epoch + 1] = self._parameters.cpu()

    def save_state(self) -> dict[str, Tensor]:
        """Return parameters, trajectories so far, the orders of the running epoch and the generators' states."""
        return {
            "parameters": self._parameters,
            "trajectories": self.trajectories,
            "orders": self._orders,
            "generators": torch.stack([generator.get_state() for generator in self._generators]),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self._parameters = state["parameters"].to(self._parameters.device)
        self.trajectories, self._orders = state["trajectories"], state["orders"]
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            generator.set_state(saved.clone())  # torch reads a row from the start of the whole tensor's memory

    def _draw_batches(self, orders: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return each expert's augmented images (B, C, H, W) and labels (B,)."""
        strategy = dsa_strategy(self._data.info)
        batches = [self._data.batch(order) for order in orders]
        augmented = [dsa_augment(b[0], g, strategy) for b, g in zip(batches, self._generators, strict=True)]
        return augmented, [labels for _, labels in batches]


def experts_at_once(device: torch.device, image_size: int) -> int:
    """Return how many experts one vectorised call trains: 10 at 32 px on a GPU, fewer for larger images, 1 on a CPU.

    Small batches leave a GPU idle, and memory grows with the pixels of all of them; one expert fills a CPU.
    """
    return max(1, 10 * 32**2 // image_size**2) if device.type == "cuda" else 1


def real_in_space(train: LabeledImages, whitening: Whitening | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return all real images, (N, C, H, W) uint8 pixels or float32 zca, and their (N,) labels, on `device`."""
    pixels = train.pixels(torch.arange(len(train)))
    if whitening is None:
        return pixels.to(device), train.labels.to(device)
    constants = whitening.to(device)
    images = torch.empty(pixels.shape, device=device)
    for chunk in torch.arange(len(pixels)).split(1024):  # all at once would take the memory of another copy
        images[chunk] = whiten(pixels[chunk].to(device), constants)
    return images, train.labels.to(device)


def _whitening_of(train: LabeledImages, ctx: RunContext) -> Whitening:
    """Return the whitening kept in the folder being prepared, fitted now where there is none yet."""
    whitening = find_whitening(ctx.cache_dir)
    if whitening is None:
        whitening = fit_zca(train, device=ctx.device)
        save_whitening(whitening, ctx.cache_dir)
    return whitening
