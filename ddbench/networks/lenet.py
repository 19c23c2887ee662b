"""LeNet-5 of the DC family: two 5x5 convs with ReLU and max pooling, then three linear layers.

Variants: `lenet` only. Papers: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
recognition", 1998; Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929).
Reference repository: VICO-UoE/DatasetCondensation, `networks.py`. Differs from it: takes every size that both convs
fit, not only 1x28x28 and 3x32x32.
"""

from __future__ import annotations

from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.registry import NETWORKS


class LeNet(Network):
    """Two convs and three linear layers; images (B, C, H, W) normalised, at least 12 px grey or 16 px colour.

    Raises:
        BadInputError: images too small for the second conv.
    """

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        padding = 2 if shape.channels == 1 else 0
        side = ((shape.image_size + 2 * padding - 4) // 2 - 4) // 2
        if side < 1:
            raise BadInputError(
                f"lenet needs images of at least {16 - 2 * padding} px with {shape.channels} channel(s), "
                f"got {shape.image_size}; use mlp or convnet"
            )
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, 6, 5, padding=padding),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * side * side, 120),
            nn.ReLU(inplace=True),
            nn.Linear(120, 84),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(84, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, 84) features."""
        features: Tensor = self.features(images)
        return features

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits


@NETWORKS.register("lenet")
def make_lenet(variant: str, shape: InputShape) -> Network:
    """Build a LeNet; it has no variants."""
    parse_variant("lenet", variant, {}, {})
    return LeNet(shape)
