"""MLP of the DC family: two hidden layers of 128 units with ReLU, then one linear layer.

Variants: `mlp`, and `mlp-w<width>` for another width. Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient
Matching", ICLR 2021 (arXiv 2006.05929). Reference repository: VICO-UoE/DatasetCondensation, `networks.py`. Differs from
it: takes images of any size and number of channels, not only 1x28x28 and 3x32x32.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddbench.network import InputShape, Network, parse_variant
from ddbench.registry import NETWORKS


class MLP(Network):
    """Two hidden layers and a linear layer; images (B, C, H, W) normalised.

    Args:
        shape: the input the network is for.
        width: units of each hidden layer.
    """

    def __init__(self, shape: InputShape, width: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(shape.channels * shape.image_size**2, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(width, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, width) features."""
        features: Tensor = self.hidden(images.flatten(1))
        return features

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits


@NETWORKS.register("mlp")
def make_mlp(variant: str, shape: InputShape) -> Network:
    """Build an MLP from a variant such as `w64`; the empty one is the family's."""
    options: dict[str, Any] = parse_variant("mlp", variant, {"w": "width"}, {})
    return MLP(shape, **options)
