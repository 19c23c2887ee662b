"""Statistics of what goes into a network's layers: by channel, as batch norm has them, and by cell of the maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.network import Network

# Of one layer: means and biased variances, (C,) by channel, and where they are taken (P,) by cell.
Statistics = tuple[Tensor, ...]


def channel_statistics(inputs: Tensor) -> Statistics:
    """Return the (C,) means and biased variances of the channels of (B, C, H, W) inputs."""
    variance, mean = torch.var_mean(inputs, (0, 2, 3), correction=0)
    return mean, variance


def cell_statistics(inputs: Tensor, side: int) -> Statistics:
    """Return the (P,) means and biased variances of cells of `side` x `side` values, over images and channels.

    Maps whose height or width is no multiple of `side` are enlarged, bilinearly, to the next one.
    """
    size = [math.ceil(length / side) * side for length in inputs.shape[2:]]
    if size != list(inputs.shape[2:]):
        inputs = F.interpolate(inputs, size, mode="bilinear", align_corners=False)
    cells = inputs.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # image, channel, row, inside, column, inside
    variance, mean = torch.var_mean(cells, (0, 1, 3, 5), correction=0)
    return mean.flatten(), variance.flatten()


def conv_statistics(inputs: Tensor, side: int) -> Statistics:
    """Return what is matched of a conv layer's (B, C, H, W) inputs: channels' and cells' means and variances."""
    return (*channel_statistics(inputs), *cell_statistics(inputs, side))


def watched_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the names and modules of the convs and batch norms of maps, in their order."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            yield name, layer


@contextmanager
def watching_inputs(network: nn.Module, take: Callable[[str, nn.Module, Tensor], None]) -> Iterator[None]:
    """Hand the inputs of each watched layer to `take`, with its name and itself, in each forward pass of the block."""

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda layer, inputs: take(name, layer, inputs[0])

    handles = [layer.register_forward_pre_hook(hook_of(name)) for name, layer in watched_layers(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class ConvSums:
    """Statistics of conv layers, summed over batches of real images and weighted by their size: a `Resumable` state.

    Args:
        generator: CPU generator of what the loop draws.
        device: where sums are kept.
        side: of a cell.
    """

    def __init__(self, generator: torch.Generator, device: torch.device, side: int) -> None:
        self.generator, self.device, self.side = generator, device, side
        self._sums: dict[str, Tensor] = {}
        self._images = 0

    @torch.no_grad()
    def add(self, networks: Sequence[Network], images: Tensor) -> None:
        """Pass (B, C, S, S) normalised images through every network."""
        for number, network in enumerate(networks):

            def take(name: str, layer: nn.Module, inputs: Tensor, number: int = number) -> None:
                if isinstance(layer, nn.Conv2d):
                    for part, values in enumerate(conv_statistics(inputs, self.side)):
                        key, added = key_of(number, name, part), len(images) * values
                        self._sums[key] = self._sums[key] + added if key in self._sums else added

            with watching_inputs(network, take):
                network(images)
        self._images += len(images)

    def means(self) -> dict[str, Tensor]:
        """Return the means over all images, on the CPU, by `key_of`."""
        return {key: (values / self._images).cpu().contiguous() for key, values in self._sums.items()}

    def save_state(self) -> dict[str, Tensor]:
        """Return sums, their number of images and the generator's state."""
        return {**self._sums, "images": torch.tensor(self._images), "generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a saved state."""
        self._images = int(state["images"])
        self.generator.set_state(state["generator"])
        self._sums = {key: value.to(self.device) for key, value in state.items() if "/" in key}


def key_of(number: int, name: str, part: int) -> str:
    """Return what one tensor of a network's layer is known by: `0/layer1.0.conv1/3`."""
    return f"{number}/{name}/{part}"
