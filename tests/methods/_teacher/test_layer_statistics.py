"""Tests of the statistics of layers' inputs, against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ddbench.methods._teacher.layer_statistics import ConvSums, cell_statistics, channel_statistics, watched_layers
from ddbench.network import InputShape, make_network

CPU = torch.device("cpu")


def naive_moments(values: list[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((value - mean) ** 2 for value in values) / len(values)


def naive_enlarged(rows: list[list[float]], height: int, width: int) -> list[list[float]]:
    """Bilinear enlargement with pixel centres at halves, value by value."""

    def place(at: int, new: int, old: int) -> tuple[int, int, float]:
        centre = min(max((at + 0.5) * old / new - 0.5, 0.0), old - 1.0)
        low = math.floor(centre)
        return low, min(low + 1, old - 1), centre - low

    result = []
    for y in range(height):
        top, bottom, down = place(y, height, len(rows))
        line = []
        for x in range(width):
            left, right, across = place(x, width, len(rows[0]))
            upper = rows[top][left] * (1 - across) + rows[top][right] * across
            lower = rows[bottom][left] * (1 - across) + rows[bottom][right] * across
            line.append(upper * (1 - down) + lower * down)
        result.append(line)
    return result


def naive_cells(inputs: torch.Tensor, side: int) -> list[tuple[float, float]]:
    height, width = (side * math.ceil(length / side) for length in inputs.shape[2:])
    maps = [naive_enlarged(one.tolist(), height, width) for one in inputs.flatten(0, 1)]
    found = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            cell = [row[left : left + side] for one in maps for row in one[top : top + side]]
            found.append(naive_moments([value for row in cell for value in row]))
    return found


def test_channels_have_their_means_and_biased_variances():
    inputs = torch.randn(4, 3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means, variances = channel_statistics(inputs)
    expected = [naive_moments(inputs[:, channel].flatten().tolist()) for channel in range(3)]
    assert list(zip(means.tolist(), variances.tolist(), strict=True)) == [pytest.approx(pair) for pair in expected]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_cells_are_counted_by_rows_of_maps_enlarged_to_whole_ones(height, width, side):
    draws = torch.Generator().manual_seed(height * 100 + width)
    inputs = torch.randn(2, 3, height, width, dtype=torch.float64, generator=draws)
    means, variances = cell_statistics(inputs, side)
    expected = naive_cells(inputs, side)
    assert len(means) == len(expected)
    for found, wanted in zip(zip(means.tolist(), variances.tolist(), strict=True), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_convs_and_batch_norms_of_maps_are_watched_in_their_order():
    network = make_network("timm/efficientnet_b0", InputShape(3, 32, 10), torch.Generator())
    layers = [layer for _, layer in watched_layers(network)]
    assert isinstance(layers[0], nn.Conv2d)
    assert isinstance(layers[1], nn.BatchNorm2d)  # timm's has the activation in it
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 81
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == 49


def test_sums_are_means_over_images_of_batches_of_any_size_and_go_on_where_they_stood():
    network = make_network("convnet-d2-w4", InputShape(1, 8, 3), torch.Generator().manual_seed(2)).double().eval()
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sums = ConvSums(torch.Generator(), CPU, 4)
    sums.add([network], images[:3])
    other = ConvSums(torch.Generator(), CPU, 4)
    other.load_state(sums.save_state())
    for one in (sums, other):
        one.add([network], images[3:])
    assert sums.means().keys() == other.means().keys()
    assert all(torch.equal(value, other.means()[key]) for key, value in sums.means().items())
    (first, second) = (name for name, layer in watched_layers(network) if isinstance(layer, nn.Conv2d))
    assert set(sums.means()) == {f"0/{name}/{part}" for name in (first, second) for part in range(4)}
    batches = [(part, naive_moments(part.flatten().tolist())) for part in (images[:3], images[3:])]
    for moment in range(2):
        expected = sum(len(part) * moments[moment] for part, moments in batches) / 5
        assert float(sums.means()[f"0/{first}/{moment}"]) == pytest.approx(expected, rel=1e-12)
