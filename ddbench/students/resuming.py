"""Where the training of one network stands, so that it can go on in another process."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.method import Resumable
from ddbench.network import Network

NETWORK, OPTIMISER, ALSO = "network.", "optimiser.", "also."


class TrainingState:
    """A network, its optimiser's state and the generator of its draws: a `Resumable`.

    Args:
        network: that is trained.
        generator: CPU generator of the order of images and of augmentation.
        also: what else changes from epoch to epoch.

    Attributes:
        optimiser: of the network's parameters, in their order; set by what trains.
        is_resumed: whether the state has just been loaded.
    """

    def __init__(self, network: Network, generator: torch.Generator, also: Resumable | None = None) -> None:
        self._network, self._generator, self._also = network, generator, also
        self.optimiser: torch.optim.Optimizer | None = None
        self.is_resumed = False

    def save_state(self) -> dict[str, Tensor]:
        """Return parameters, buffers, momenta and the generator's state."""
        state = {f"{NETWORK}{name}": value.detach().clone() for name, value in self._network.state_dict().items()}
        for index, moments in self._held.state_dict()["state"].items():
            state |= {f"{OPTIMISER}{index}.{name}": value.clone() for name, value in moments.items()}
        kept = {} if self._also is None else {f"{ALSO}{key}": value for key, value in self._also.save_state().items()}
        return {**state, **kept, "generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self._network.load_state_dict(_part(state, NETWORK))
        self._generator.set_state(state["generator"])
        if self._also is not None:
            self._also.load_state(_part(state, ALSO))
        parameters = [parameter for group in self._held.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(state, OPTIMISER).items():
            index, _, name = key.partition(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:  # fused steps pair values by their place in memory
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            moments.setdefault(int(index), {})[name] = value
        self._held.load_state_dict({**self._held.state_dict(), "state": moments})
        self.is_resumed = True

    @property
    def _held(self) -> torch.optim.Optimizer:
        if self.optimiser is None:
            raise RuntimeError("the training has not begun: it has no optimiser yet")
        return self.optimiser


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
