"""Inputs of the golden values: images, parameters, draws and orders from whole-number hashes; digests of tensors.

Nothing here draws: the numbers are the same on every machine and under every version of torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from ddbench.augment.dsa import Draw

# In the order in which the authors' programs number them, with how many uniform numbers each takes.
STRATEGIES = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}


def uniform(shape: Sequence[int], seed: int) -> Tensor:
    """Multiples of 2^-32 in [0, 1), float64; a hash of the place and the seed in 32-bit arithmetic."""
    word = np.arange(prod(shape), dtype=np.uint32)
    word *= np.uint32(2654435761)  # what goes beyond 32 bits is dropped
    word += np.uint32(40503 * seed + 12345 & 0xFFFFFFFF)
    for shift, factor in ((15, 2246822519), (13, 3266489917), (16, 1)):
        word ^= word >> np.uint32(shift)
        word *= np.uint32(factor)
    return torch.from_numpy(word / 2.0**32).reshape(tuple(shape))


def images(count: int, shape: Sequence[int], seed: int) -> Tensor:
    """(count, C, H, W) float64, uniform with mean 0 and variance 1."""
    return sqrt(12) * (uniform((count, *shape), seed) - 0.5)


def fill(network: nn.Module, seed: int) -> None:
    """Give every parameter of a network its numbers, parameter j those of seed + j, and make it float64.

    Kernels and matrices get fan-in^-1/2 times numbers in [-1, 1), weights of norms numbers in [0.5, 1.5), biases
    numbers in [-0.1, 0.1).
    """
    of_norms = {id(m.weight) for m in network.modules() if isinstance(m, nn.GroupNorm | nn.BatchNorm2d | nn.LayerNorm)}
    for index, parameter in enumerate(network.parameters()):
        numbers = uniform(parameter.shape, seed + index)
        if id(parameter) in of_norms:
            parameter.data = numbers + 0.5
        elif parameter.ndim in (2, 4):
            parameter.data = (2 * numbers - 1) / sqrt(parameter[0].numel())
        else:
            parameter.data = 0.2 * (numbers - 0.5)
    network.double()


def params(strategy: str, count: int, seed: int) -> Tensor:
    """(count, p) uniform numbers of a DSA strategy, float32: odd multiples of 1/2048, far from every threshold."""
    return ((uniform((count, STRATEGIES[strategy]), 900_000 + seed) * 1024).floor() / 1024 + 1 / 2048).float()


def draw(count: int, key: int) -> Draw:
    """The DSA draw of a key: its strategy, and the uniform numbers of `count` images."""
    strategy = list(STRATEGIES)[int(6 * uniform((1,), key))]
    return Draw(strategy, params(strategy, count, key))


def order(count: int, epoch: int) -> Tensor:
    """A permutation of 0..count-1, int64."""
    return uniform((count,), 600_000 + epoch).argsort()


def digest(tensor: Tensor, seed: int = 1) -> Tensor:
    """Seven numbers of a tensor, (7,) float64: two sums with weights of a seed, the norm and four entries."""
    flat = tensor.detach().double().reshape(-1)
    sums = [flat @ (uniform(flat.shape, first + seed) - 0.5) for first in (700_000, 800_000)]
    places = [0, len(flat) // 3, 2 * len(flat) // 3, -1]
    return torch.stack([*sums, flat.norm(), *flat[places]])


def joined(parameters: Iterable[Tensor], *, weights_alone: bool = False) -> Tensor:
    """All parameters as one vector, or those of two or more dimensions alone."""
    return torch.cat([p.detach().reshape(-1) for p in parameters if p.ndim > 1 or not weights_alone])
