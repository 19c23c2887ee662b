"""AlexNet of the DC family, for small images: five convs of widths 128, 192, 256, 192, 192, then one linear layer.

Variants: `alexnet` (no norm), `alexnet-bn`, `alexnet-in`. Papers: Krizhevsky, Sutskever, Hinton, "ImageNet
Classification with Deep Convolutional Neural Networks", NeurIPS 2012; Zhao, Mopuri, Bilen, "Dataset Condensation with
Gradient Matching", ICLR 2021 (arXiv 2006.05929). Reference repository: VICO-UoE/DatasetCondensation, `networks.py`.
Differs from it: takes every size from 8 px on, not only 1x28x28 and 3x32x32; the variants with a norm after each conv
are ours.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.networks._layers import first_padding, make_norm
from ddbench.registry import NETWORKS

LAYERS = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))  # width, kernel, pooled


class AlexNet(Network):
    """Five convs, three of them followed by 2x2 max pooling, and a linear layer; images (B, C, H, W) normalised.

    Args:
        shape: the input the network is for.
        norm: `none`, `bn` or `in`, after each conv.

    Raises:
        BadInputError: images that three poolings reduce to nothing.
    """

    def __init__(self, shape: InputShape, norm: str = "none") -> None:
        super().__init__()
        if shape.image_size < 8:
            raise BadInputError(f"alexnet needs images of at least 8 px, got {shape.image_size}; use mlp or convnet")
        layers: list[nn.Module] = []
        channels, side = shape.channels, shape.image_size
        for index, (width, kernel, pooled) in enumerate(LAYERS):
            padding = first_padding(kernel, shape) if index == 0 else kernel // 2
            side += 2 * padding - kernel + 1
            layers += [
                nn.Conv2d(channels, width, kernel, padding=padding),
                make_norm(norm, width, side),
                nn.ReLU(inplace=True),
            ]
            channels = width
            if pooled:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * side * side, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, 192 * side * side) features; side is 4 at 32 px."""
        maps: Tensor = self.features(images)
        return maps.flatten(1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits


@NETWORKS.register("alexnet")
def make_alexnet(variant: str, shape: InputShape) -> Network:
    """Build an AlexNet from a variant: empty, `bn` or `in`."""
    words = {norm: {"norm": norm} for norm in ("none", "bn", "in")}
    options: dict[str, Any] = parse_variant("alexnet", variant, {}, words)
    return AlexNet(shape, **options)
