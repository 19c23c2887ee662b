"""ResNet of basic blocks with the stem for small images, and its variant with average pooling instead of strides.

Variants: `resnet18` (instance norm, as `resnet18-in`), `resnet18-bn`, and with `-ap` average pooling in place of
strided convs; also depths 10 and 34. Papers: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR
2016 (arXiv 1512.03385); Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv
2006.05929). Reference repositories: up to 64 px VICO-UoE/DatasetCondensation, `networks.py` (`resnet18-bn-ap` is its
ResNet18BN_AP); above, where that one fails, snu-mllab/Efficient-Dataset-Condensation, `models/resnet.py`, with its
stems and its normal initialisation of convs: the ResNet-18 of the 224 px protocols. Differs from them: other sizes than
28 and 32 px are allowed up to 64 px; the last maps are averaged whatever their size, and with `-ap` flattened.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddbench.engine.native import with_native_blocks
from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.networks._layers import initialise_convs, make_stages, make_stem
from ddbench.registry import NETWORKS

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # per stage, by depth
LARGEST_SMALL = 64  # px: above, the stem shrinks the images


class ResNet(Network):
    """A stem, four stages of residual blocks and a linear layer; images (B, C, H, W) normalised.

    Args:
        shape: the input the network is for.
        depth: 10, 18 or 34.
        norm: `in` or `bn`.
        pooling: `stride` (halves maps by strided convs, averages the last) or `average` (pools 2x2, keeps the last).

    Attributes:
        stem: what the first layers are; depends on the image size.

    Raises:
        BadInputError: another depth; images so small that instance norm would erase the last maps; with average
            pooling, images below 8 px or above 64 px.
    """

    def __init__(self, shape: InputShape, depth: int = 18, norm: str = "in", pooling: str = "stride") -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise BadInputError(f"resnet has the depths {', '.join(map(str, BLOCKS))}, got {depth}; use one of them")
        pooled = pooling == "average"
        if pooled and not 8 <= shape.image_size <= LARGEST_SMALL:
            raise BadInputError(
                f"resnet{depth} with ap needs images of 8 to {LARGEST_SMALL} px, got {shape.image_size}; "
                f"use {'resnet' if shape.image_size < 8 else 'resnet_ap'}{depth}"
            )
        self.stem: str
        self.layers, side, self.stem = make_stem(shape, 64, norm, pooled=pooled)
        self.stages, width, side = make_stages(BLOCKS[depth], 64, side, norm, pooled=pooled)
        self._flattens = pooled
        self.classifier = nn.Linear(width * side * side if pooled else width, shape.num_classes)
        if shape.image_size > LARGEST_SMALL:
            initialise_convs(self)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, 512) features; with average pooling (B, 512 * side * side), where side is 4 at 32 px."""
        maps: Tensor = self.stages(self.layers(images))
        return maps.flatten(1) if self._flattens else maps.mean((2, 3))

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits

    def native(self) -> Network:
        """Return this network with each block as one step in native code, where this machine can compile it."""
        return with_native_blocks(self)


@NETWORKS.register("resnet")
def make_resnet(variant: str, shape: InputShape) -> Network:
    """Build a ResNet from a variant such as `18-bn-ap`; the empty one is depth 18 with instance norm."""
    words = {"in": {"norm": "in"}, "bn": {"norm": "bn"}, "ap": {"pooling": "average"}}
    options: dict[str, Any] = parse_variant("resnet", variant, {"": "depth"}, words)
    return ResNet(shape, **options)
