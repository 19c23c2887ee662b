"""ConvNet of the DC family: blocks of 3x3 conv, norm, activation and 2x2 pooling, then one linear layer.

Variants: `convnet-d3` (depth 3, width 128, instance norm), with `w<width>`, a norm (`in bn ln gn none`), an activation
(`relu sigmoid leaky`) and a pooling (`avg max nopool`), such as `convnet-d4-w64-bn-max`. `convnet-d6` is the ConvNet-6
of the 224 px protocols: vimar-gu/MinimaxDiffusion, `train_models/convnet.py`, has the same layers, width and start.
Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929). Reference
repository: VICO-UoE/DatasetCondensation, `networks.py`. Differs from it: one-channel images other than 28 px are not
padded beyond their size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ddbench.engine.native import with_native_blocks
from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.networks._layers import NORMS, first_padding, make_norm
from ddbench.registry import NETWORKS

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


DEEPEST = 64  # blocks; without pooling no image is too small for any number


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
        channels, side = shape.channels, shape.image_size + 2 * (first_padding(3, shape) - 1)
        if options.depth > DEEPEST:
            raise BadInputError(f"convnet has at most {DEEPEST} blocks, got {options.depth}; use a smaller depth")
        if options.pooling != "nopool" and side < 2**options.depth:
            raise BadInputError(
                f"convnet of depth {options.depth} needs images of at least {2**options.depth} px, "
                f"got {shape.image_size}; use a smaller depth"
            )
        for _ in range(options.depth):
            blocks += [
                nn.Conv2d(channels, options.width, 3, padding=1 if blocks else first_padding(3, shape)),
                make_norm(options.norm, options.width, side),
                ACTIVATIONS[options.activation](),
                POOLINGS[options.pooling](),
            ]
            channels = options.width
            side = side if options.pooling == "nopool" else side // 2
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels * side * side, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, width * side * side) features."""
        maps: Tensor = self.features(images)
        return maps.flatten(1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits

    def native(self) -> Network:
        """Return this network with each block as one step in native code, where this machine can compile it.

        Itself with another activation than ReLU: torch's compiler is faster at two derivatives of such blocks.
        """
        rectifies = any(isinstance(layer, nn.ReLU) for layer in self.features)
        return with_native_blocks(self) if rectifies else self


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
