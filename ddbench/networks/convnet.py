"""ConvNet of the DC family: blocks of 3x3 conv, norm, activation and 2x2 pooling, then one linear layer.

Variants: `convnet-d3` (depth 3, width 128, instance norm), with `w<width>`, a norm (`in bn ln gn none`), an activation
(`relu sigmoid leaky`) and a pooling (`avg max nopool`), such as `convnet-d4-w64-bn-max`. `convnet-d6` is the ConvNet-6
of the 224 px protocols. Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021
(arXiv 2006.05929). Reference repository: VICO-UoE/DatasetCondensation. Differs from it: nothing known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.registry import NETWORKS

NORMS: dict[str, Callable[[int], nn.Module]] = {
    # One group per channel is what the family calls instance norm; unlike InstanceNorm2d it is affine and stateless.
    "in": lambda width: nn.GroupNorm(width, width),
    "bn": nn.BatchNorm2d,
    "ln": lambda width: nn.GroupNorm(1, width),
    "gn": lambda width: nn.GroupNorm(4, width),
    "none": lambda width: nn.Identity(),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "sigmoid": nn.Sigmoid,
    "leaky": lambda: nn.LeakyReLU(0.01),
}
POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "avg": lambda: nn.AvgPool2d(2),
    "max": lambda: nn.MaxPool2d(2),
    "nopool": nn.Identity,
}


@dataclass(frozen=True)
class ConvNetOptions:
    """Shape of the network; the defaults are the DC family's."""

    depth: int = 3
    width: int = 128
    norm: str = "in"
    activation: str = "relu"
    pooling: str = "avg"


class ConvNet(Network):
    """`depth` blocks and a linear layer; images (B, C, H, W) normalised."""

    def __init__(self, options: ConvNetOptions, shape: InputShape) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels, side = shape.channels, shape.image_size
        for index in range(options.depth):
            # 28 px digits: the first conv pads by 3, so that the feature map starts at 32x32.
            padding = 3 if index == 0 and shape.channels == 1 and shape.image_size == 28 else 1
            blocks += [
                nn.Conv2d(channels, options.width, 3, padding=padding),
                NORMS[options.norm](options.width),
                ACTIVATIONS[options.activation](),
                POOLINGS[options.pooling](),
            ]
            channels = options.width
            side = side + 2 * (padding - 1)
            side = side if options.pooling == "nopool" else side // 2
        if side < 1:
            raise BadInputError(
                f"convnet of depth {options.depth} needs images of at least {2**options.depth} px, "
                f"got {shape.image_size}; use a smaller depth"
            )
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels * side * side, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, width * side * side) features."""
        return self.features(images).flatten(1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        return self.classifier(embeddings)


@NETWORKS.register("convnet")
def make_convnet(variant: str, shape: InputShape) -> Network:
    """Build a ConvNet from a variant such as `d3-w64-bn`."""
    words: dict[str, dict[str, str]] = {
        **{key: {"norm": key} for key in NORMS},
        **{key: {"activation": key} for key in ACTIVATIONS},
        **{key: {"pooling": key} for key in POOLINGS},
    }
    options: dict[str, Any] = parse_variant("convnet", variant, {"d": "depth", "w": "width"}, words)
    return ConvNet(ConvNetOptions(**options), shape)
