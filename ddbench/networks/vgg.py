"""VGG of the DC family, for small images: 3x3 convs with norm and ReLU, five max poolings, then one linear layer.

Variants: `vgg11`, `vgg13`, `vgg16`, `vgg19`, each with instance norm (`vgg11-in` is the same) or, as `vgg11-bn`, batch
norm. Papers: Simonyan, Zisserman, "Very Deep Convolutional Networks", ICLR 2015 (arXiv 1409.1556), columns A, B, D, E;
Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929). Reference repository:
VICO-UoE/DatasetCondensation, `networks.py`. Differs from it: images above 63 px end in maps larger than 1x1, which are
averaged.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.networks._layers import first_padding, make_norm
from ddbench.registry import NETWORKS

WIDTHS = (64, 128, 256, 512, 512)
CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # per pooling, by depth


class VGG(Network):
    """Five groups of convs, each with 2x2 max pooling, and a linear layer; images (B, C, H, W) normalised.

    Args:
        shape: the input the network is for.
        depth: 11, 13, 16 or 19; counts the original's three linear layers.
        norm: `in` or `bn`.

    Raises:
        BadInputError: another depth, or images below 32 px (28 px with one channel, which are padded).
    """

    def __init__(self, shape: InputShape, depth: int = 11, norm: str = "in") -> None:
        super().__init__()
        if depth not in CONVS:
            raise BadInputError(f"vgg has the depths {', '.join(map(str, CONVS))}, got {depth}; use one of them")
        side = shape.image_size + 2 * (first_padding(3, shape) - 1)
        if side < 32:
            raise BadInputError(f"vgg{depth} needs images of at least 32 px, got {shape.image_size}; use convnet")
        layers: list[nn.Module] = []
        channels = shape.channels
        for width, count in zip(WIDTHS, CONVS[depth], strict=True):
            for _ in range(count):
                padding = 1 if layers else first_padding(3, shape)
                layers += [
                    nn.Conv2d(channels, width, 3, padding=padding),
                    make_norm(norm, width, side),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
            side //= 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, 512) features."""
        maps: Tensor = self.features(images)
        return maps.mean((2, 3))

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits


@NETWORKS.register("vgg")
def make_vgg(variant: str, shape: InputShape) -> Network:
    """Build a VGG from a variant such as `11-bn`; the empty one is depth 11 with instance norm."""
    words = {norm: {"norm": norm} for norm in ("in", "bn")}
    options: dict[str, Any] = parse_variant("vgg", variant, {"": "depth"}, words)
    return VGG(shape, **options)
