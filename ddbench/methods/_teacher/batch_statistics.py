"""How far the inputs of a teacher's batch-norm layers are from what they were in its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ddbench.network import Network


def statistics_gap(inputs: Tensor, mean: Tensor, variance: Tensor, variance_weight: float = 1.0) -> Tensor:
    """Return the distance of (B, C, H, W) inputs' means, and of biased variances times a weight, from (C,) ones, ()."""
    found_variance, found_mean = torch.var_mean(inputs, (0, 2, 3), correction=0)
    norm = torch.linalg.vector_norm
    gap: Tensor = variance_weight * norm(found_variance - variance) + norm(found_mean - mean)
    return gap


class StatisticsGaps:
    """The gaps of the last forward pass, one for each layer in its order; variances count by a weight."""

    def __init__(self, variance_weight: float = 1.0) -> None:
        self._variance_weight = variance_weight
        self._gaps: list[Tensor] = []

    def add(self, layer: nn.BatchNorm2d, inputs: Tensor) -> None:
        """Take a layer's inputs."""
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self._gaps.append(statistics_gap(inputs, layer.running_mean, layer.running_var, self._variance_weight))

    def forget(self) -> None:
        """Forget the gaps of all passes so far."""
        self._gaps = []

    def take(self, first_factor: float) -> Tensor:
        """Return the sum of the gaps, the first one times a factor, and forget them."""
        (first, *others), self._gaps = self._gaps, []
        return first_factor * first + sum(others, torch.zeros_like(first))


@contextmanager
def watched_statistics(network: Network, variance_weight: float = 1.0) -> Iterator[StatisticsGaps]:
    """Yield what holds the gaps of a network's batch-norm layers after each forward pass within the block."""
    gaps = StatisticsGaps(variance_weight)
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: gaps.add(layer, inputs[0]))
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    try:
        yield gaps
    finally:
        for handle in handles:
            handle.remove()
