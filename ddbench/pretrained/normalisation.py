"""A network that was trained on images normalised otherwise than a data set's are."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.images import DatasetInfo
from ddbench.network import Network


class Renormalised(Network):
    """A network of images normalised with `mean` and `std`, for images that are normalised as a data set's.

    Args:
        network: what sees the images.
        info: of the data set.
        mean: per channel, of pixels in [0, 1].
        std: per channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: Network, info: DatasetInfo, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        pairs = zip(info.mean, info.std, mean, std, strict=True)
        # (x * s + m - mean) / std, its constants in double precision and not part of the state.
        scales, shifts = zip(*((s / wide, (m - low) / wide) for m, s, low, wide in pairs), strict=True)
        self.register_buffer("scale", torch.tensor(scales).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shifts).view(1, -1, 1, 1), persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        """Return the network's embedding of (B, C, H, W) images normalised as the data set's."""
        return self.network.embed(images * self.scale + self.shift)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return the network's (B, K) logits."""
        return self.network.classify(embeddings)


def renormalised(network: Network, info: DatasetInfo, mean: tuple[float, ...], std: tuple[float, ...]) -> Network:
    """Return a network for images normalised as a data set's: itself where that is as it was trained."""
    return network if (mean, std) == (info.mean, info.std) else Renormalised(network, info, mean, std)
