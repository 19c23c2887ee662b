"""The loop that recovers images from teachers: batch after batch, by Adam from where they start, to its last step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ddbench.distilled.pixels import as_bytes
from ddbench.errors import DivergenceError
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import Resumable, RunContext, part_of

BETAS = (0.5, 0.9)
FIRST_FACTOR = 10.0  # of the first layer's statistics

# Returns the loss of (B, C, S, S) normalised images, ().
# Its other arguments are their (B,) places in the set, the step and the number of all steps before it.
Loss = Callable[[Tensor, Tensor, int, int], Tensor]

# Returns where the images at (B,) places of the set start, (B, C, S, S) normalised.
Start = Callable[[Tensor], Tensor]


def cosine_rate(lr: float, step: int, steps: int) -> float:
    """Return the learning rate of a step, which falls from `lr` to 0 along half a cosine."""
    return lr * (1 + math.cos(math.pi * step / steps)) / 2


class Recovery:
    """Images that are done, uint8, those that are optimised now and Adam's moments of them: a `Resumable` state.

    Args:
        total: (M, C, S, S) of all images.
        generator: CPU generator of every draw.
        device: where images are optimised.
        parts: other states that belong to the loop, by name.
    """

    def __init__(
        self,
        total: tuple[int, ...],
        generator: torch.Generator,
        device: torch.device,
        parts: Mapping[str, Resumable] | None = None,
    ) -> None:
        self.images, self.generator, self.device = torch.zeros(total, dtype=torch.uint8), generator, device
        self._parts = dict(parts or {})
        self._restart(torch.zeros(0, *total[1:]))

    def begin(self, count: int, start: Tensor | None = None) -> None:
        """Start at given images, or at `count` that are drawn from a normal distribution."""
        drawn = torch.randn(count, *self.images.shape[1:], generator=self.generator) if start is None else start
        self._restart(drawn)

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

    def check(self) -> None:
        """Raise DivergenceError where images, or the moments that steps follow, are no longer finite."""
        values = [self.now, *self.optimiser.state[self.now].values()]
        if not all(bool(value.isfinite().all()) for value in values):
            raise DivergenceError(
                "recovering images diverged, to values that are not finite; lower lr, or the weights of the loss"
            )

    def save_state(self) -> dict[str, Tensor]:
        """Return images, moments and the generator's state, and what the other parts keep."""
        moments = {f"adam.{name}": value.clone() for name, value in self.optimiser.state[self.now].items()}
        kept = {"images": self.images, "now": self.now.detach().clone(), "generator": self.generator.get_state()}
        parts = {
            f"{name}/{key}": value for name, part in self._parts.items() for key, value in part.save_state().items()
        }
        return {**kept, **moments, **parts}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.images.copy_(state["images"])
        self._restart(state["now"])
        self.generator.set_state(state["generator"])
        if moments := part_of(state, "adam."):
            self.optimiser.state[self.now] = {
                name: value.clone() if name == "step" else value.to(self.device, copy=True)
                for name, value in moments.items()
            }
        for name, part in self._parts.items():
            part.load_state(part_of(state, f"{name}/"))


def new_recovery(
    train: LabeledImages, ipc: int, ctx: RunContext, parts: Mapping[str, Resumable] | None = None
) -> Recovery:
    """Return the state of recovering `ipc` images of each class of a data set."""
    info = train.info
    return Recovery(
        (train.num_classes * ipc, info.channels, info.image_size, info.image_size), ctx.generator, ctx.device, parts
    )


def recover(
    state: Recovery,
    batches: Sequence[Tensor],
    steps: int,
    lr: float,
    loss_of: Loss,
    info: DatasetInfo,
    ctx: RunContext,
    start: Start | None = None,
) -> Tensor:
    """Return (M, C, S, S) uint8 pixels, each batch optimised for so many steps at a rate that falls from `lr` to 0.

    Args:
        state: new; a run that was killed goes on from where its own stood.
        batches: (B,) int64 places in the set, classes after one another, of the images that are optimised together.
        steps: of each batch.
        lr: Adam's first rate.
        loss_of: what is minimised.
        info: mean and std.
        ctx: progress and log.
        start: of each batch; noise where None.

    Raises:
        DivergenceError: images, or Adam's moments of them, are not finite at the end of a batch.
    """
    mean, std = (torch.tensor(values, device=ctx.device).view(1, -1, 1, 1) for values in (info.mean, info.std))
    bounds = -mean / std, (1 - mean) / std
    for iteration in ctx.track(range(len(batches) * steps), "recovering", state):
        places, step = batches[iteration // steps], iteration % steps
        if step == 0:
            state.begin(len(places), None if start is None else start(places))
        loss = loss_of(state.now, places, step, iteration)
        state.step(loss, cosine_rate(lr, step, steps), bounds)
        if step == steps - 1:
            state.check()
            state.images[places] = as_bytes(info.to_pixels(state.now.detach().cpu()))
            label, index = divmod(int(places[0]), len(state.images) // info.num_classes)
            ctx.log(f"loss[{index}, {label}]", loss.item())
            if ctx.shows_images:
                ctx.log(f"images[{index}, {label}]", state.images[places])
    return state.images
