"""The optimiser of a training plan, and the average of weights that some protocols test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ddbench.network import Network

if TYPE_CHECKING:  # which imports this module
    from ddbench.students.loop import TrainingPlan


def make_optimiser(network: Network, plan: TrainingPlan, lr: float) -> torch.optim.Optimizer:
    """Return the plan's optimiser of a network's parameters, without any state.

    Fused on devices that have it; the same numbers to rounding.
    """
    groups = parameter_groups(network, plan)
    is_fused = all(parameter.device.type in ("cpu", "cuda") for parameter in network.parameters())
    form: dict[str, Any] = {"weight_decay": plan.weight_decay, "fused": is_fused, "foreach": not is_fused}
    if plan.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=lr, **form)
    return torch.optim.SGD(groups, lr=lr, momentum=plan.momentum, **form)


def parameter_groups(network: Network, plan: TrainingPlan) -> list[dict[str, object]]:
    """Return the groups of an optimiser: under `weights` those that decay, and the rest with a decay of 0.

    A weight decays where its name has the word and it has more than one dimension: not norms and not biases. As
    `get_parameters` of RDED, SRe2L, EDC and G-VBSM says.
    """
    named = list(network.named_parameters())
    if plan.decays == "all":
        return [{"params": [parameter for _, parameter in named]}]
    decaying = [name for name, parameter in named if "weight" in name and parameter.ndim > 1]
    rest = [parameter for name, parameter in named if name not in decaying]
    groups: list[dict[str, object]] = [{"params": [dict(named)[name] for name in decaying]}]
    return [*groups, {"params": rest, "weight_decay": 0.0}] if rest else groups


def change_lr(
    network: Network, optimiser: torch.optim.Optimizer, plan: TrainingPlan, lr: float
) -> torch.optim.Optimizer:
    """Return an optimiser that goes on at another rate: a new one where the plan resets momentum."""
    if plan.resets_momentum:
        return make_optimiser(network, plan, lr)
    set_lr(optimiser, lr)
    return optimiser


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Let an optimiser go on at another rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr


@contextmanager
def norms_moved_by(network: Network, passes: int) -> Iterator[None]:
    """Let batch norm's running statistics move, in each pass, as in so many passes of the same batch.

    Their momentum m becomes 1 - (1 - m)^passes inside, and is what it was afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm, momentum in zip(norms, before, strict=True):
        if passes > 1 and momentum is not None:
            norm.momentum = 1 - (1 - momentum) ** passes
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


class WeightAverage:
    """Average of a network's parameters over steps: w <- stays * w + (1 - stays) * parameter, from the initial ones on.

    Buffers, such as batch norm's statistics, are the network's own at the time, as in EDC's code. A `Resumable`.

    Args:
        network: whose parameters are averaged.
        stays: part of the average that stays at each step, 0 to 1.
    """

    def __init__(self, network: Network, stays: float) -> None:
        self._parameters: list[Tensor] = list(network.parameters())
        self._stays = stays
        self.values: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step's parameters in."""
        torch._foreach_lerp_(self.values, self._parameters, 1 - self._stays)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Lend the average to the network; its parameters come back afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def keep(self) -> None:
        """Give the network the average for good."""
        self._exchange()

    def save_state(self) -> dict[str, Tensor]:
        """Return the average of each parameter, by its place."""
        return {str(place): value.clone() for place, value in enumerate(self.values)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved average."""
        for place, value in enumerate(self.values):
            value.copy_(state[str(place)])

    @torch.no_grad()
    def _exchange(self) -> None:
        for parameter, value in zip(self._parameters, self.values, strict=True):
            own = parameter.clone()
            parameter.copy_(value)
            value.copy_(own)
