"""Training a denoiser, from scratch or from given weights, with or without the minimax criteria.

Paper: Gu et al., "Efficient Dataset Distillation via Minimax Diffusion", CVPR 2024 (arXiv 2311.15529), equation 6.
Checked against: vimar-gu/MinimaxDiffusion, train_dit.py.
Differs from it: labels are dropped once per sample; the draws of a step follow from the seed and the step's number;
with gradient accumulation the criteria see one part of the batch at a time.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ddbench.diffusion.criteria import ClassMemory, diversity, representativeness
from ddbench.diffusion.criteria_space import INPUTS, CriteriaSpace
from ddbench.diffusion.denoiser import Denoiser, DenoiserShape, make_denoiser
from ddbench.diffusion.difffit import Trainable, make_trainable
from ddbench.diffusion.inputs import InputSource
from ddbench.diffusion.noising import NUM_TIMESTEPS, NoiseSchedule, diffusion_loss, split_output
from ddbench.diffusion.team import Team, gathered_team
from ddbench.engine.arithmetic import arithmetic_of, send
from ddbench.engine.compiled import in_precision
from ddbench.errors import DenoiserDivergedError
from ddbench.method import RunContext
from ddbench.seeding import make_generator
from ddbench.training_recipe import MethodPrecision

Keeps = Literal["latest", "first"]
REFERENCE_DECAY, REFERENCE_STEPS = 0.9999, 12_000
LOGGED = 100  # losses of a run that go to the log


def scaled_ema_decay(steps: int) -> float:
    """Return the decay with which the start weighs as much in the average of so many steps as in the reference's."""
    return float(REFERENCE_DECAY ** (REFERENCE_STEPS / max(steps, 1)))


@dataclass(frozen=True)
class TuningPlan:
    """How a denoiser is trained.

    Attributes:
        steps: updates.
        batch_size: images per update.
        lr: of AdamW without weight decay.
        ema_decay: of the average of the weights, which is what is kept.
        trainable: `difffit` or `full`.
        flips: mirror images at random.
        label_dropout: probability of the null class.
        parts: each device works through its share of a batch in this many parts, for gradient accumulation.
        devices: how many share a batch; the result is the same but for rounding.
        precision: of the forward pass, `bf16` by autocast.
        rate: `constant`, or `cosine`: a short linear rise, then a fall to zero.
        representativeness_weight: of the criterion that pulls towards real samples; 0 switches it off.
        diversity_weight: of the criterion that pushes generated samples apart; 0 switches it off.
        memory_size: entries per class of either memory.
        memory_keeps: the `latest` samples, or the `first`: then neither memory changes once it is full.
    """

    steps: int
    batch_size: int
    lr: float
    ema_decay: float
    trainable: Trainable
    flips: bool
    label_dropout: float = 0.1
    parts: int = 1
    devices: int = 1
    precision: MethodPrecision = "fp32"
    rate: Literal["constant", "cosine"] = "constant"
    representativeness_weight: float = 0.0
    diversity_weight: float = 0.0
    memory_size: int = 64
    memory_keeps: Keeps = "latest"

    def lr_at(self, step: int) -> float:
        """Return the rate of a step counted from 0."""
        if self.rate == "constant":
            return self.lr
        rise = max(1, self.steps // 50)
        return self.lr * min((step + 1) / rise, 0.5 + 0.5 * math.cos(math.pi * step / self.steps))


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """The draws of one step: clean inputs and what is done to them.

    `clean`, `noise` (B, C, H, W); `timesteps`, `labels` (place among the classes trained), `class_ids` (with null
    classes) (B,) int64.
    """

    clean: Tensor
    noise: Tensor
    timesteps: Tensor
    labels: Tensor
    class_ids: Tensor

    def split(self, size: int) -> list[NoisyBatch]:
        """Return parts of `size` samples."""
        fields = (self.clean, self.noise, self.timesteps, self.labels, self.class_ids)
        return [NoisyBatch(*parts) for parts in zip(*(field.split(size) for field in fields), strict=True)]


class FineTuning:
    """The training of one denoiser: a `Resumable` state for `ctx.track`.

    Args:
        denoiser: on its device; trained in place.
        inputs: training images of the classes to train.
        class_ids: the denoiser's id of each data set label, (K,) int64.
        plan: how.
        seed: of all draws.
        space: in which the criteria compare samples.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        inputs: InputSource,
        class_ids: Tensor,
        plan: TuningPlan,
        seed: int,
        space: CriteriaSpace = INPUTS,
    ) -> None:
        self.denoiser, self.inputs, self.plan, self._seed = denoiser.train(), inputs, plan, seed
        self.parameters = make_trainable(denoiser, plan.trainable)
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.device = next(denoiser.parameters()).device
        self._optimiser = torch.optim.AdamW(self.parameters.values(), lr=plan.lr, weight_decay=0.0, fused=True)
        self._schedule = NoiseSchedule.linear(self.device)
        self._class_ids = class_ids
        # Memories have room for the classes trained here only.
        present, self._places = inputs.labels.unique(return_inverse=True)
        shape, keeps_first = denoiser.shape, plan.memory_keeps == "first"
        dim = space.dim or shape.channels * shape.image_size**2
        self._space = space.to(self.device)
        self.real, self.generated = (
            ClassMemory(len(present), plan.memory_size, dim, self.device, keeps_first=keeps_first) for _ in range(2)
        )
        self._kept_order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._team = Team()

    def run_all(self, ctx: RunContext, description: str) -> None:
        """Do every step, resumed where a killed run left off; the loss goes to the log.

        Raises:
            DenoiserDivergedError: a loss is not finite.
        """
        every = max(1, self.plan.steps // LOGGED)
        trained, whole = (sum(p.numel() for p in ps) for ps in (self.parameters.values(), self.denoiser.parameters()))
        ctx.log(f"{description}: trainable parameters", f"{trained} of {whole} ({trained / whole:.2%})")
        with self._gathered() as self._team:
            start = None
            for step in ctx.track(range(self.plan.steps), description, self):
                if start is None:
                    start = step
                    self._team.tell({"start": start, "state": self.save_state()})
                loss = self.run(step)
                if step % every == 0 or step == self.plan.steps - 1:
                    ctx.log(f"{description}: loss[{step}]", loss.item())
                    if not loss.isfinite():
                        raise DenoiserDivergedError(f"{description}: loss {loss.item()} at step {step}; lower lr")
            if start is None:  # a run killed after its last step
                self._team.tell({"start": self.plan.steps, "state": self.save_state()})
        if not all(tensor.isfinite().all() for tensor in self.average.values()):
            raise DenoiserDivergedError(f"{description}: weights not finite after {self.plan.steps} steps; lower lr")

    def follow(self, team: Team) -> None:
        """Do the same steps as the first member of a team, in another process."""
        self._team = team
        said = team.hear()
        self.load_state(said["state"])
        for step in range(said["start"], self.plan.steps):
            self.run(step)

    @contextmanager
    def _gathered(self) -> Iterator[Team]:
        """Yield the team that trains together, its other members started."""
        if self.plan.devices == 1:
            yield Team()
            return
        with tempfile.TemporaryDirectory(prefix="ddbench-") as folder:
            weights = Path(folder) / "weights.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in self.denoiser.state_dict().items()}, weights)
            own = (self.inputs, self._class_ids, self.plan, self._seed, self._space)
            follow = partial(_follow, self.denoiser.shape, weights, *own)
            with gathered_team(self.plan.devices, self.device, follow) as team:
                yield team

    def run(self, step: int) -> Tensor:
        """Do one update and return the loss, () on the device."""
        batch = self._draw(step)
        predicted, total = [], torch.zeros((), device=self.device)
        parts = self.plan.parts * self._team.size
        for part in self._team.share(batch.split(-(-len(batch.clean) // parts))):
            loss, samples = self._loss(part)
            share = loss * (len(part.clean) / len(batch.clean))
            share.backward()
            total += share.detach()
            predicted.append(samples.detach())
        self._team.sum_gradients(self.parameters.values())
        self._update(step)
        if self.plan.representativeness_weight:
            self.real.add(self._space.project(batch.clean), batch.labels)
        if self.plan.diversity_weight:
            self.generated.add(self._team.gather(torch.cat(predicted)), batch.labels)
        return self._team.sum(total)

    def _loss(self, batch: NoisyBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of a part of a batch, (), and the samples it predicts, (B, D), as the criteria see them."""
        noisy = self._schedule.add_noise(batch.clean, batch.noise, batch.timesteps)
        with in_precision(self.plan.precision, self.device):
            output = self.denoiser(noisy, batch.timesteps, batch.class_ids)
        output = output.float()
        loss = diffusion_loss(output, batch.clean, noisy, batch.noise, batch.timesteps, self._schedule)
        clean = self._schedule.predict_clean(noisy, split_output(output, noisy.shape[1])[0], batch.timesteps)
        samples = self._space.project(clean)
        for weight, criterion, memory in (
            (self.plan.representativeness_weight, representativeness, self.real),
            (self.plan.diversity_weight, diversity, self.generated),
        ):
            if weight:
                loss = loss + weight / self._space.unit * criterion(samples, batch.labels, memory)
        return loss, samples

    def _update(self, step: int) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.lr_at(step)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        parameters = [parameter.detach() for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), parameters, 1 - self.plan.ema_decay)

    def _draw(self, step: int) -> NoisyBatch:
        generator = make_generator(self._seed, "step", step)
        indices = self._indices(step)
        count, shape = len(indices), self.denoiser.shape
        size = (count, shape.channels, shape.image_size, shape.image_size)
        flips = (torch.rand(count, generator=generator) < 0.5) & self.plan.flips
        clean = self.inputs.take(indices, flips, torch.randn(size, generator=generator))
        labels = self.inputs.labels[indices]
        dropped = torch.rand(count, generator=generator) < self.plan.label_dropout
        fields = (
            clean,
            torch.randn(size, generator=generator),
            torch.randint(NUM_TIMESTEPS, (count,), generator=generator),
            self._places[indices],
            torch.where(dropped, self.denoiser.null_class, self._class_ids[labels]),
        )
        return NoisyBatch(*(send(field, self.device) for field in fields))

    def _indices(self, step: int) -> Tensor:
        """Return the images of a step: a cut of the endless sequence of shuffled passes over the data."""
        count = len(self.inputs.labels)
        first, end = step * self.plan.batch_size, (step + 1) * self.plan.batch_size
        passes = [(epoch, epoch * count) for epoch in range(first // count, -(-end // count))]
        return torch.cat([self._order(epoch)[max(first - at, 0) : end - at] for epoch, at in passes])

    def _order(self, epoch: int) -> Tensor:
        if self._kept_order[0] != epoch:
            generator = make_generator(self._seed, "epoch", epoch)
            self._kept_order = (epoch, torch.randperm(len(self.inputs.labels), generator=generator))
        return self._kept_order[1]

    def save_state(self) -> dict[str, Tensor]:
        """Return weights, their average, the optimiser's moments and the memories."""
        state = self.real.save_state("real") | self.generated.save_state("generated")
        for name, parameter in self.parameters.items():
            state |= {f"weight.{name}": parameter.detach(), f"average.{name}": self.average[name]}
            state |= {
                f"{key}.{name}": self._optimiser.state[parameter][key] for key in self._optimiser.state[parameter]
            }
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.real.load_state("real", state)
        self.generated.load_state("generated", state)
        for name, parameter in self.parameters.items():
            parameter.data.copy_(state[f"weight.{name}"])
            self.average[name].copy_(state[f"average.{name}"])
            keys = ("step", "exp_avg", "exp_avg_sq")
            moments = {key: state[f"{key}.{name}"] for key in keys if f"{key}.{name}" in state}  # none before a step
            self._optimiser.state[parameter] = {
                key: value.to(self.device if key != "step" or self.device.type == "cuda" else "cpu", copy=True)
                for key, value in moments.items()
            }


def _follow(
    shape: DenoiserShape,
    weights: Path,
    inputs: InputSource,
    class_ids: Tensor,
    plan: TuningPlan,
    seed: int,
    space: CriteriaSpace,
    team: Team,
) -> None:
    """What another member of a team does."""
    with arithmetic_of("fp32", team.device):  # a process of its own, which has torch's own settings
        training = FineTuning(make_denoiser(shape).to(team.device), inputs, class_ids, plan, seed, space)
        training.denoiser.load_state_dict(load_file(weights))
        training.follow(team)


def load_trained(denoiser: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put trained tensors, by name, into a denoiser that has a place for each."""
    parameters = dict(denoiser.named_parameters())
    for name, tensor in tensors.items():
        parameters[name].data.copy_(tensor)
