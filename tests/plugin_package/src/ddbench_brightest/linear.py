"""Linear: softmax regression on the pixels; its embedding is the image itself."""

from __future__ import annotations

from torch import Tensor, nn

from ddbench.plugin import InputShape, Network, parse_variant


class Linear(Network):
    """One linear layer; images (B, C, H, W) normalised."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        self.classifier = nn.Linear(shape.channels * shape.image_size**2, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, C * H * W) pixels."""
        return images.flatten(1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits


def make_linear(variant: str, shape: InputShape) -> Network:
    """Build the network; it has no variants."""
    parse_variant("linear", variant, {}, {})
    return Linear(shape)
