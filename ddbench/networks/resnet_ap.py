"""ResNetAP-10 of the 224 px protocols: residual blocks with average pooling instead of strides, instance norm.

Variants: `resnet_ap10`, also depths 18 and 34, `-bn` for batch norm and `w<width>` for the first stage's channels (64
unless given: "width 1.0"). Papers: Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization"
(IDC), ICML 2022 (arXiv 2205.14959), whose network it is; Gu et al., "Efficient Dataset Distillation via Minimax
Diffusion", CVPR 2024 (arXiv 2311.15529), whose tables use depth 10. Reference repositories: vimar-gu/MinimaxDiffusion,
`train_models/resnet_ap.py`; snu-mllab/Efficient-Dataset-Condensation, `models/resnet_ap.py`. Not the same as
`resnet10-ap`, which has no pooling stem, flattens its last maps and starts from other weights. Differs from them: they
halve the width on data sets whose name starts with `cifar`; here that is asked for, as `resnet_ap10-w32`.
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


class ResNetAP(Network):
    """A pooling stem, four stages of residual blocks, the mean over places and a linear layer.

    Images are (B, C, H, W) normalised. Conv weights start from a normal with variance 2 / (kernel area * output
    channels).

    Args:
        shape: the input the network is for.
        depth: 10, 18 or 34.
        width: channels of the stem and the first stage.
        norm: `in` or `bn`.

    Attributes:
        stem: what the first layers are; depends on the image size.

    Raises:
        BadInputError: another depth; images that pooling reduces to nothing, or whose last maps instance norm would
            erase.
    """

    def __init__(self, shape: InputShape, depth: int = 10, width: int = 64, norm: str = "in") -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise BadInputError(f"resnet_ap has the depths {', '.join(map(str, BLOCKS))}, got {depth}; use one of them")
        if shape.image_size < 8:
            raise BadInputError(f"resnet_ap{depth} needs images of at least 8 px, got {shape.image_size}; use resnet")
        self.stem: str
        self.layers, side, self.stem = make_stem(shape, width, norm, pooled=True)
        self.stages, channels, _ = make_stages(BLOCKS[depth], width, side, norm, pooled=True)
        self.classifier = nn.Linear(channels, shape.num_classes)
        initialise_convs(self)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, 8 * width) features."""
        maps: Tensor = self.stages(self.layers(images))
        return maps.mean((2, 3))

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits

    def native(self) -> Network:
        """Return this network with each block as one step in native code, where this machine can compile it."""
        return with_native_blocks(self)


@NETWORKS.register("resnet_ap")
def make_resnet_ap(variant: str, shape: InputShape) -> Network:
    """Build a ResNetAP from a variant such as `10-bn`; the empty one is depth 10 with instance norm."""
    words = {norm: {"norm": norm} for norm in ("in", "bn")}
    options: dict[str, Any] = parse_variant("resnet_ap", variant, {"": "depth", "w": "width"}, words)
    return ResNetAP(shape, **options)
