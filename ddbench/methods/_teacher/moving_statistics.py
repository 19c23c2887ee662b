"""Distances of layers' statistics, each a moving average over batches, from those of real images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from ddbench.methods._teacher.layer_statistics import (
    Statistics,
    channel_statistics,
    conv_statistics,
    key_of,
    watching_inputs,
)
from ddbench.network import Network


class MovingStatistics:
    """Moving averages of the statistics of batches, and how far those of the last forward pass are from real images'.

    An average begins at 0, as in the reference repository, and is `momentum` of the old one and the rest of the new
    batch's; the gradient is that of the batch alone, in full. It is a `Resumable` state; the generator is not in it.

    Args:
        real: what `ConvSums.means` gave, on the device; batch norm has its own.
        momentum: of the averages.
        drop_rate: how likely a conv layer is left out of a step, its average too.
        side: of a cell.
        generator: CPU generator; draws what is left out.
    """

    def __init__(
        self, real: Mapping[str, Tensor], momentum: float, drop_rate: float, side: int, generator: torch.Generator
    ) -> None:
        self._real, self._momentum, self._drop_rate, self._side = real, momentum, drop_rate, side
        self._generator = generator
        self._averages: dict[str, Tensor] = {}
        self._gaps: list[Tensor] = []

    def take(self, first_factor: float) -> Tensor:
        """Return the sum of the layers' gaps, the first one times a factor, and forget them."""
        (first, *others), self._gaps = self._gaps, []
        return first_factor * first + sum(others, torch.zeros_like(first))

    def add(self, number: int, name: str, layer: nn.Module, inputs: Tensor) -> None:
        """Take the inputs of a layer of the network of that number."""
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            wanted: Statistics = (layer.running_mean, layer.running_var)
            found = channel_statistics(inputs)
        elif self._drop_rate and float(torch.rand((), generator=self._generator)) < self._drop_rate:
            self._gaps.append(inputs.new_zeros(()))
            return
        else:
            found = conv_statistics(inputs, self._side)
            wanted = tuple(self._real[key_of(number, name, part)] for part in range(len(found)))
        parts = zip(found, wanted, strict=True)
        gaps = [self._gap(key_of(number, name, part), *pair) for part, pair in enumerate(parts)]
        self._gaps.append(torch.stack(gaps).sum())

    def _gap(self, key: str, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the distance of a moving average, into which a batch's statistics go, from the real one, ()."""
        batch = found.detach()
        old = self._averages.get(key, torch.zeros_like(batch))
        average = self._averages[key] = self._momentum * old + (1 - self._momentum) * batch
        gap: Tensor = torch.linalg.vector_norm(wanted - (average + (found - batch)))
        return gap

    def save_state(self) -> dict[str, Tensor]:
        """Return the averages."""
        return dict(self._averages)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to saved averages."""
        device = next(iter(self._real.values())).device
        self._averages = {key: value.to(device) for key, value in state.items()}


@contextmanager
def watched_teachers(teachers: Sequence[Network], statistics: MovingStatistics) -> Iterator[None]:
    """Hand the inputs of all teachers' layers to `statistics` in each forward pass within the block."""
    with ExitStack() as stack:
        for number, teacher in enumerate(teachers):
            stack.enter_context(watching_inputs(teacher, partial(statistics.add, number)))
        yield
