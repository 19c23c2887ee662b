"""Where the training of one network stands, so that it can go on in another process."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.method import Resumable, part_of
from ddbench.network import Network
from ddbench.students.optimiser import WeightAverage, set_lr

NETWORK, OPTIMISER, AVERAGE, ALSO = "network.", "optimiser.", "average.", "also."


class TrainingState:
    """A network, its optimiser's state and rate, its average and the generator of its draws: a `Resumable`.

    Args:
        network: that is trained.
        generator: CPU generator of the order of images and of augmentation.
        also: what else changes from epoch to epoch.

    Attributes:
        optimiser: of the network's parameters, in their order; set by what trains.
        average: of the parameters, None where a plan has none; set by what trains.
    """

    def __init__(self, network: Network, generator: torch.Generator, also: Resumable | None = None) -> None:
        self._network, self._generator, self._also = network, generator, also
        self.optimiser: torch.optim.Optimizer | None = None
        self.average: WeightAverage | None = None

    def save_state(self) -> dict[str, Tensor]:
        """Return parameters, buffers, momenta, rate, average and the generator's state."""
        state = {f"{NETWORK}{name}": value.detach().clone() for name, value in self._network.state_dict().items()}
        for index, moments in self._held.state_dict()["state"].items():
            state |= {f"{OPTIMISER}{index}.{name}": value.clone() for name, value in moments.items()}
        for prefix, part in self._parts().items():
            state |= {f"{prefix}{key}": value for key, value in part.save_state().items()}
        lr = torch.tensor(self._held.param_groups[0]["lr"], dtype=torch.float64)  # the same of all groups
        return {**state, "lr": lr, "generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        self._network.load_state_dict(part_of(state, NETWORK))
        self._generator.set_state(state["generator"])
        for prefix, part in self._parts().items():
            part.load_state(part_of(state, prefix))
        parameters = [parameter for group in self._held.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in part_of(state, OPTIMISER).items():
            index, _, name = key.partition(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:  # fused steps pair values by their place in memory
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            moments.setdefault(int(index), {})[name] = value
        self._held.load_state_dict({**self._held.state_dict(), "state": moments})
        set_lr(self._held, state["lr"].item())

    def _parts(self) -> dict[str, Resumable]:
        """Return what has a state of its own, by its prefix."""
        parts: dict[str, Resumable | None] = {AVERAGE: self.average, ALSO: self._also}
        return {prefix: part for prefix, part in parts.items() if part is not None}

    @property
    def _held(self) -> torch.optim.Optimizer:
        if self.optimiser is None:
            raise RuntimeError("the training has not begun: it has no optimiser yet")
        return self.optimiser
