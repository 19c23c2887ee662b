"""Any model of the timm library, freshly initialised: `timm/<name>`, with a name from `timm.list_models()`.

The first layers are fitted to the images where the model has options for it: `img_size`, and up to 64 px a `patch_size`
that keeps its share of a 224 px image (patch 16 becomes 4 at 32 px). Models without such options keep their ImageNet
stem. The module's attribute `stem` says which was taken. Library: Wightman, "PyTorch Image Models",
doi 10.5281/zenodo.4414861. Differs from it: no pretrained weights, no dropout, no models with several classifiers.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, get_type_hints

import timm
from torch import Tensor, nn

from ddbench.network import InputShape, Network
from ddbench.networks._library import Options, check_known, fitting_options, stem_words, switch_off_dropout
from ddbench.registry import NETWORKS

NATIVE_SIZE = 224  # px that the models' default patches are made for
LARGEST_SMALL = 64  # px: above, models keep their own patches
FEWEST_PATCHES = 4  # a side, our choice: below, a patch covers too much of the image


class TimmNetwork(Network):
    """A timm model; images (B, C, H, W) normalised. The embedding is what its classifier takes.

    Args:
        name: as in `timm.list_models()`.
        shape: the input the network is for.

    Attributes:
        stem: options the first layers were made with, or `timm default`.

    Raises:
        UnknownNameError: no such model.
        BadInputError: images too small for it, or a model that is not one classifier on one embedding.
    """

    def __init__(self, name: str, shape: InputShape) -> None:
        super().__init__()
        options = choose_stem(name, shape)
        self.stem = stem_words("timm", options)
        self.model = create_model(name, shape, options)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, D) features; D is the model's own width."""
        return embed_with(self.model, images)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        return classify_with(self.model, embeddings)

    def own_key(self, key: str) -> str:
        """Return our name of a tensor that timm calls `key`."""
        return f"model.{key}"


@NETWORKS.register("timm")
def make_timm(variant: str, shape: InputShape) -> Network:
    """Build the timm model whose name is the variant, verbatim."""
    return TimmNetwork(variant, shape)


@cache
def choose_stem(name: str, shape: InputShape) -> dict[str, Any]:
    """Return the options that fit a model's first layers to the images: the first of a few that it takes.

    Raises:
        UnknownNameError: no such model.
        BadInputError: the model takes none of the options and not the images as they are either.
    """
    # The list, and not timm's own look-up, which also takes addresses to download from and names of weights.
    check_known("timm", name, timm.list_models(), "timm.list_models()")

    def build(options: Options) -> nn.Module:
        return create_model(name, shape, options)

    def apart(model: nn.Module, images: Tensor) -> Tensor:
        return classify_with(model, embed_with(model, images))

    candidates = stem_candidates(stem_defaults(name), shape.image_size)
    return dict(fitting_options(f"timm/{name}", shape, candidates, build, apart))


def stem_defaults(name: str) -> dict[str, Any]:
    """Return the keyword arguments of a model's class with their defaults; empty where timm does not say the class."""
    model_class = get_type_hints(timm.models.model_entrypoint(name)).get("return")
    if not inspect.isclass(model_class):
        return {}
    return {key: parameter.default for key, parameter in inspect.signature(model_class).parameters.items()}


def stem_candidates(defaults: dict[str, Any], image_size: int) -> list[dict[str, Any]]:
    """Return the options to try, best first, for a model that takes those in `defaults`; the last is to give none."""
    sized = {"img_size": image_size} if "img_size" in defaults else {}
    fallbacks = [sized, {}] if sized else [{}]
    patch = defaults.get("patch_size")
    # A model with a stride beside its patch would leave pixels out if the patch alone became smaller.
    if isinstance(patch, int) and "stride" not in defaults and image_size <= LARGEST_SMALL:
        return [{**sized, "patch_size": scale_patch(patch, image_size)}, *fallbacks]
    return fallbacks


def scale_patch(patch: int, image_size: int) -> int:
    """Return the divisor of `image_size` next above the share that `patch` has of a 224 px image.

    Where fewer than four patches a side would remain, the divisor next below, so that 8 px images have 1 px patches.
    """
    share = patch * image_size / NATIVE_SIZE
    divisors = [number for number in range(1, image_size + 1) if image_size % number == 0]
    fitting = [number for number in divisors if number >= share and image_size // number >= FEWEST_PATCHES]
    return min(fitting) if fitting else max(number for number in divisors if number <= max(share, 1))


def create_model(name: str, shape: InputShape, options: Options) -> nn.Module:
    """Return the timm model with fresh parameters."""
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=shape.num_classes, in_chans=shape.channels, **options
    )
    switch_off_dropout(model)
    return model


def embed_with(model: Any, images: Tensor) -> Tensor:  # noqa: ANN401 - timm has no type for its models
    """Return the (B, D) input of a timm model's classifier."""
    features: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return features


def classify_with(model: Any, embeddings: Tensor) -> Tensor:  # noqa: ANN401
    """Return a timm model's (B, K) logits for (B, D) embeddings; some classifiers are 1x1 convs."""
    classifier = model.get_classifier()
    logits: Tensor = classifier(embeddings[:, :, None, None] if isinstance(classifier, nn.Conv2d) else embeddings)
    return logits.flatten(1)
