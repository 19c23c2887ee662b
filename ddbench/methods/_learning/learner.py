"""Tensors learned by SGD over many iterations, with all that a resumed run needs to go on with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Learner:
    """Leaf tensors, their SGD optimiser and the generator of the loop: a `Resumable` state for `ctx.track`.

    Args:
        optimiser: SGD, with or without momentum, over leaf tensors that require gradients.
        generator: CPU generator from which every draw of the loop comes.
    """

    def __init__(self, optimiser: torch.optim.SGD, generator: torch.Generator) -> None:
        self.optimiser = optimiser
        self.generator = generator

    @property
    def tensors(self) -> list[Tensor]:
        """The learned tensors, in the optimiser's order."""
        return [tensor for group in self.optimiser.param_groups for tensor in group["params"]]

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of `loss`."""
        self.descend(torch.autograd.grad(loss, self.tensors))

    def descend(self, gradients: Sequence[Tensor]) -> None:
        """Take one step down given gradients, one for each tensor."""
        for tensor, gradient in zip(self.tensors, gradients, strict=True):
            tensor.grad = gradient
        self.optimiser.step()

    def save_state(self) -> dict[str, Tensor]:
        """Return tensors, momentum buffers and the generator's state."""
        state = {"generator": self.generator.get_state()}
        for index, tensor in enumerate(self.tensors):
            state[f"tensor.{index}"] = tensor.detach().clone()
            momentum = self.optimiser.state[tensor].get("momentum_buffer")
            if momentum is not None:
                state[f"momentum.{index}"] = momentum.clone()
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self.generator.set_state(state["generator"])
        for index, tensor in enumerate(self.tensors):
            tensor.data.copy_(state[f"tensor.{index}"])
            if f"momentum.{index}" in state:
                momentum = state[f"momentum.{index}"].to(tensor.device, copy=True)  # steps change it in place
                self.optimiser.state[tensor]["momentum_buffer"] = momentum
