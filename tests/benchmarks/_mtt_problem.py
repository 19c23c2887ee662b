"""One MTT meta-step at CIFAR-10 shapes, convnet-d3, IPC 10: what both MTT benchmarks measure."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.augment.dsa import draw_dsa
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.methods._trajectories.flat_network import FlatNetwork, flatten_parameters
from ddbench.methods._trajectories.meta_gradient import Segment, StudentBatch
from ddbench.network import InputShape, make_network

CLASSES, IPC = 10, 10


def make_problem(
    steps: int, device: torch.device | str = "cpu", spec: str = "convnet-d3"
) -> tuple[FlatNetwork, Tensor, Tensor, Segment, list[StudentBatch]]:
    """Return network, images (100, 3, 32, 32), rate, segment and `steps` batches of the whole synthetic set, there."""
    generator = torch.Generator().manual_seed(0)
    network = make_network(spec, InputShape(3, 32, CLASSES), generator).requires_grad_(False)
    start = flatten_parameters(network)
    # The distance that experts travel in two epochs, to its order of magnitude.
    target = start + 0.01 * torch.randn(len(start), generator=generator)
    images = torch.randn(CLASSES * IPC, 3, 32, 32, generator=generator)
    labels = torch.arange(CLASSES).repeat_interleave(IPC)
    batches = []
    for _ in range(steps):
        order = torch.randperm(len(labels), generator=generator)
        draw = draw_dsa(generator, DSA_STRATEGY, len(order))
        batches.append(StudentBatch(order.to(device), labels[order].to(device), draw))
    flat = FlatNetwork(network.to(device), compiles=False, batch_size=len(labels))
    segment = Segment(start.to(device), target.to(device))
    return flat, images.to(device), torch.tensor(0.01, device=device), segment, batches
