"""Tests of the gap between batch statistics and those of training, against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ddbench.methods._teacher.batch_statistics import statistics_gap, watched_statistics
from ddbench.network import InputShape, make_network


def naive_gap(inputs: torch.Tensor, mean: list[float], variance: list[float]) -> float:
    """SRe2L's R_BN of one layer, number by number."""
    off_mean = off_variance = 0.0
    for channel in range(inputs.shape[1]):
        values = inputs[:, channel].flatten().tolist()
        own = math.fsum(values) / len(values)
        spread = math.fsum((value - own) ** 2 for value in values) / len(values)
        off_mean += (own - mean[channel]) ** 2
        off_variance += (spread - variance[channel]) ** 2
    return math.sqrt(off_variance) + math.sqrt(off_mean)


def test_a_gap_is_the_sum_of_two_norms():
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, 3, 5, 5, dtype=torch.float64, generator=draws)
    mean, variance = torch.rand(2, 3, dtype=torch.float64, generator=draws)
    found = statistics_gap(inputs, mean, variance)
    assert float(found) == pytest.approx(naive_gap(inputs, mean.tolist(), variance.tolist()), rel=1e-12)


def test_the_first_layer_counts_more_and_all_of_a_network_are_watched():
    network = make_network("convnet-d2-w4-bn", InputShape(3, 8, 10), torch.Generator().manual_seed(2)).double().eval()
    network.requires_grad_(False)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    images, seen = torch.randn(5, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), []
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    with watched_statistics(network) as gaps:
        network(images)
        found = gaps.take(10.0)
    first, second = (
        naive_gap(inputs, layer.running_mean.tolist(), layer.running_var.tolist())
        for inputs, layer in zip(seen, layers, strict=True)
    )
    assert float(found.detach()) == pytest.approx(10 * first + second, rel=1e-12)
    network(images)  # watched no more
    assert not gaps._gaps
