"""Tests of the distances of moving averages from real statistics, and of where their gradient goes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ddbench.methods._teacher.layer_statistics import ConvSums, conv_statistics
from ddbench.methods._teacher.moving_statistics import MovingStatistics, watched_teachers
from ddbench.network import InputShape, make_network

CPU = torch.device("cpu")


@pytest.fixture
def network():
    """A convnet of two blocks with batch norm, in float64."""
    made = make_network("convnet-d2-w4-bn", InputShape(1, 8, 3), torch.Generator().manual_seed(2)).double().eval()
    return made.requires_grad_(False)


def batches(count: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(5)
    return [torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=draws) for _ in range(count)]


@pytest.fixture
def real(network):
    sums = ConvSums(torch.Generator(), CPU, 4)
    sums.add([network], batches(3)[2])
    return sums.means()


def distance(first: list[float], second: list[float]) -> float:
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(first, second, strict=True)))


def naive_sum(network, real, seen: list[torch.Tensor], momentum: float) -> float:
    """The term after some batches: averages from 0, distances of each layer's parts, those of the first times 10."""
    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)}
    averages: dict[tuple[str, int], list[float]] = {}
    for images in seen:
        inputs: dict[str, torch.Tensor] = {}
        handles = [
            layer.register_forward_pre_hook(lambda layer, given, into=inputs, name=name: into.update({name: given[0]}))
            for name, layer in layers.items()
        ]
        network(images)
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            found = conv_statistics(inputs[name], 4)
            for part, values in enumerate(found if isinstance(layer, nn.Conv2d) else found[:2]):
                old = averages.get((name, part), [0.0] * len(values))
                pairs = zip(old, values.tolist(), strict=True)
                averages[name, part] = [momentum * before + (1 - momentum) * now for before, now in pairs]
    total = 0.0
    for (name, part), average in averages.items():
        layer = layers[name]
        norms = () if isinstance(layer, nn.Conv2d) else (layer.running_mean, layer.running_var)
        wanted = norms[part] if norms else real[f"0/{name}/{part}"]
        total += distance(wanted.tolist(), average) * (10 if name == next(iter(layers)) else 1)
    return total


@pytest.mark.parametrize("momentum", [0.0, 0.4, 0.8])
def test_terms_are_those_of_averages_over_the_batches_so_far(network, real, momentum):
    statistics = MovingStatistics(real, momentum, 0.0, 4, torch.Generator())
    seen, found = batches(3), []
    with watched_teachers([network], statistics):
        for images in seen:
            network(images)
            found.append(float(statistics.take(10.0)))
    expected = [naive_sum(network, real, seen[:count], momentum) for count in (1, 2, 3)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_the_last_batch_alone_and_in_full(network, real):
    """Of a single layer's part: the unit vector towards the real one, through the batch's own statistics."""
    statistics = MovingStatistics(real, 0.8, 0.0, 4, torch.Generator())
    first, second = (images.requires_grad_() for images in batches(2))
    (name, conv) = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    statistics.add(0, name, conv, first)
    statistics.take(1.0)
    statistics.add(0, name, conv, second)
    old, new = torch.autograd.grad(statistics.take(1.0), [first, second], allow_unused=True)
    assert old is None
    expected = torch.zeros(())
    then, now = conv_statistics(first.detach(), 4), conv_statistics(second, 4)
    for part, values in enumerate(now):
        average = 0.8 * 0.2 * then[part] + 0.2 * values.detach()
        direction = average - real[f"0/{name}/{part}"]
        expected = expected + (values * direction / direction.norm()).sum()
    assert torch.allclose(new, torch.autograd.grad(expected, second)[0], rtol=1e-9, atol=1e-12)


def test_conv_layers_are_left_out_at_the_rate_and_batch_norms_never(network, real):
    statistics = MovingStatistics(real, 0.0, 0.4, 4, torch.Generator().manual_seed(1))
    images, left_out = batches(1)[0], []
    with watched_teachers([network], statistics):
        for _ in range(500):
            network(images)
            left_out.append([float(gap) == 0.0 for gap in statistics._gaps])
            statistics.take(1.0)
    rates = torch.tensor(left_out, dtype=torch.float64).mean(0).tolist()
    assert rates[1] == rates[3] == 0
    assert [rates[0], rates[2]] == pytest.approx([0.4, 0.4], abs=0.07)  # three standard deviations of 500


def test_averages_of_two_teachers_are_apart_and_survive_saving(network, real):
    other = make_network("convnet-d2-w4-bn", InputShape(1, 8, 3), torch.Generator().manual_seed(9)).double().eval()
    both = {**real, **{key.replace("0/", "1/", 1): value for key, value in real.items()}}
    first, second = batches(2)

    def passed(statistics, images, teacher):
        with watched_teachers([network, other], statistics):
            teacher(images)
        return float(statistics.take(10.0).detach())

    alone, together, resumed = (MovingStatistics(both, 0.8, 0.0, 4, torch.Generator()) for _ in range(3))
    passed(alone, first, network)
    passed(together, first, network)
    passed(together, first, other)
    resumed.load_state({key: value.clone() for key, value in together.save_state().items()})
    expected = passed(alone, second, network)
    assert passed(together, second, network) == passed(resumed, second, network) == expected
