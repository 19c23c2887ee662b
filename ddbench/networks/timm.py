"""Any model of the timm library, freshly initialised: `timm/<name>`, the name as `timm.list_models()` gives it.

The first layers are fitted to the images where the model has options for it: `img_size`, and up to 64 px a `patch_size`
that keeps its share of a 224 px image (patch 16 becomes 4 at 32 px). Models without such options keep their ImageNet
stem. The module's attribute `stem` says which was taken. Library: Wightman, "PyTorch Image Models",
doi 10.5281/zenodo.4414861. Differs from it: no pretrained weights, no dropout, no models with several classifiers.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from functools import cache
from typing import Any, get_type_hints

import timm
import torch
from torch import Tensor, nn

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.network import InputShape, Network
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
        self.stem = ", ".join(f"{key}={value}" for key, value in options.items()) or "timm default"
        self.model = create_model(name, shape, options)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, D) features; D is the model's own width."""
        return embed_with(self.model, images)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        return classify_with(self.model, embeddings)


@NETWORKS.register("timm")
def make_timm(variant: str, shape: InputShape) -> Network:
    """Build the timm model whose name is the variant, verbatim."""
    return TimmNetwork(variant, shape)


@cache
def choose_stem(name: str, shape: InputShape) -> dict[str, Any]:
    """Return the options that fit a model's first layers to the images: the first of a few that it takes.

    Taking means that the model is built and that one image passes; nothing is trained.

    Raises:
        UnknownNameError: no such model.
        BadInputError: the model takes none of the options and not the images as they are either.
    """
    check_name(name)
    failure = ""
    for options in stem_candidates(stem_defaults(name), shape.image_size):
        # A fork, so that the first call, which builds once more than later ones, draws the same parameters.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(0)
            image = torch.randn(1, shape.channels, shape.image_size, shape.image_size)
            try:
                model = create_model(name, shape, options).eval()
                logits = model(image)
            except Exception as error:  # models refuse a size by whatever their layers happen to raise
                failure = failure or " ".join(f"{type(error).__name__}: {error}".split())[:200]
                continue
            check_classifier(name, model, image, logits)
        return options
    raise BadInputError(
        f"timm/{name} cannot take {shape.channels}x{shape.image_size}x{shape.image_size} images ({failure}); "
        "use larger images or another model"
    )


def check_classifier(name: str, model: nn.Module, image: Tensor, logits: Tensor) -> None:
    """Raise BadInputError unless a timm model's logits are those of its classifier on its embedding."""
    try:
        expected = classify_with(model, embed_with(model, image))
        consistent = expected.shape == logits.shape and torch.allclose(expected, logits, rtol=1e-3, atol=1e-4)
    except (AttributeError, IndexError, RuntimeError, TypeError):  # no classifier, several, or other input than (B, D)
        consistent = False
    if not consistent:
        raise BadInputError(f"timm/{name} is not one classifier on one embedding; choose another model")


def check_name(name: str) -> None:
    """Raise UnknownNameError, with close matches, unless timm has a model called `name`."""
    # The list, and not timm's own look-up, which also takes addresses to download from and names of weights.
    known = timm.list_models()
    if name not in known:
        close = get_close_matches(name.split(".")[0], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(f'timm/{match}' for match in close)}?" if close else "see timm.list_models()"
        raise UnknownNameError(f"timm has no model {name!r} to start fresh; {hint}")


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


def create_model(name: str, shape: InputShape, options: dict[str, Any]) -> nn.Module:
    """Return the timm model with fresh parameters."""
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=shape.num_classes, in_chans=shape.channels, **options
    )
    switch_off_dropout(model)
    return model


def switch_off_dropout(model: nn.Module) -> None:
    """Set every dropout and stochastic-depth rate to zero.

    They are training options, which belong to the protocol, and their draws would come from the global generator. The
    default in timm is zero for all but a few models.
    """
    for module in model.modules():
        names = (
            ("p", "drop_rate", "drop_prob")
            if isinstance(module, nn.Dropout | nn.Dropout2d)
            else ("drop_rate", "drop_prob")
        )
        for name in names:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def embed_with(model: Any, images: Tensor) -> Tensor:  # noqa: ANN401 - timm has no type for its models
    """Return the (B, D) input of a timm model's classifier."""
    features: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return features


def classify_with(model: Any, embeddings: Tensor) -> Tensor:  # noqa: ANN401
    """Return a timm model's (B, K) logits for (B, D) embeddings; some classifiers are 1x1 convs."""
    classifier = model.get_classifier()
    logits: Tensor = classifier(embeddings[:, :, None, None] if isinstance(classifier, nn.Conv2d) else embeddings)
    return logits.flatten(1)
