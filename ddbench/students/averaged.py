"""Several networks that answer as one: the mean of their logits, as EDC and G-VBSM have several teachers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ddbench.network import InputShape, Network


class Averaged(Network):
    """The mean of the logits of several networks, in evaluation mode; an embedding is all of theirs side by side.

    Args:
        networks: on one device, of the same classes.
        shape: the input they are for.
    """

    def __init__(self, networks: Sequence[Network], shape: InputShape) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        parameter = next(networks[0].parameters())
        image = parameter.new_zeros(1, shape.channels, shape.image_size, shape.image_size)
        with torch.no_grad():
            self._widths = [network.eval().embed(image).shape[1] for network in networks]

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, D) embeddings, D the sum of the networks' widths."""
        return torch.cat([network.embed(images) for network in self._members()], 1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return the mean (B, K) logits."""
        parts = zip(self._members(), embeddings.split(self._widths, 1), strict=True)
        return torch.stack([network.classify(part) for network, part in parts]).mean(0)

    def _members(self) -> list[Network]:
        return [network for network in self.networks if isinstance(network, Network)]
