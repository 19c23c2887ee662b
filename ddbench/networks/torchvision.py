"""Any classification model of torchvision, freshly initialised: `torchvision/<name>`, from `list_models()`.

Models that are made for one size of image are made for that of the data set. The module's attribute `stem` says how.
Library: https://pytorch.org/vision, `torchvision.models`. Differs from it: no pretrained weights, no dropout, no
auxiliary classifiers, and none of the models that do not end in one linear layer (SqueezeNet).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn
from torchvision import models

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network
from ddbench.networks._library import Options, check_known, fitting_options, stem_words, switch_off_dropout
from ddbench.registry import NETWORKS

CHANNELS = 3
# Of models with classifiers beside the last one, and slow initial draws that are theirs by default.
PLAIN_OPTIONS: dict[str, Any] = {"aux_logits": False, "init_weights": True}
PLAIN = {"googlenet": PLAIN_OPTIONS, "inception_v3": PLAIN_OPTIONS}
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# DenseNet's weights are published with the names its layers once had: `norm.1` for `norm1`.
OLD_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


class TorchvisionNetwork(Network):
    """A torchvision model; images (B, 3, H, W) normalised. The embedding is what its last linear layer takes.

    Args:
        name: as in `torchvision.models.list_models()`.
        shape: the input the network is for.

    Attributes:
        stem: options that fit the model to the images, or `torchvision default`.

    Raises:
        UnknownNameError: no such model.
        BadInputError: images it cannot take, or a model that is not one classifier on one embedding.
    """

    def __init__(self, name: str, shape: InputShape) -> None:
        super().__init__()
        options = choose_options(name, shape)
        self.stem = stem_words("torchvision", options)
        self.model = create_model(name, shape, options)
        self._head, self.classifier = cut_classifier(self.model)

    def embed(self, images: Tensor) -> Tensor:
        """Return (B, D) features; D is the model's own width."""
        features: Tensor = self.model(images)
        return features

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return (B, K) logits."""
        logits: Tensor = self.classifier(embeddings)
        return logits

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:  # noqa: ANN401 - as torch has it
        """Take a state, of the layers' present versions where it names none, as files of tensors do (MNASNet asks)."""
        if not hasattr(state_dict, "_metadata"):
            state_dict = OrderedDict(state_dict)
            state_dict._metadata = self.state_dict()._metadata  # type: ignore[attr-defined] # declared nowhere
        return super().load_state_dict(state_dict, strict, assign)

    def own_key(self, key: str) -> str | None:
        """Return our name of a tensor that torchvision calls `key`, None for one of an auxiliary classifier."""
        if key.startswith(AUXILIARY):
            return None
        layer, _, kind = key.rpartition(".")
        if layer == self._head:
            return f"classifier.{kind}"
        return "model." + OLD_LAYER.sub(r"\1\2", key)


@NETWORKS.register("torchvision")
def make_torchvision(variant: str, shape: InputShape) -> Network:
    """Build the torchvision model whose name is the variant, verbatim."""
    return TorchvisionNetwork(variant, shape)


@cache
def choose_options(name: str, shape: InputShape) -> dict[str, Any]:
    """Return the options that fit a model to the images: none, or the size where it is made for one.

    Raises:
        UnknownNameError: no such model.
        BadInputError: it cannot take the images.
    """
    check_known("torchvision", name, models.list_models(module=models), "torchvision.models.list_models()")
    if shape.channels != CHANNELS:
        raise BadInputError(
            f"torchvision/{name} takes images of {CHANNELS} channels, got {shape.channels}; use a network of timm"
        )
    side = shape.image_size

    def build(options: Options) -> nn.Module:
        return create_model(name, shape, options)

    candidates: list[Options] = [{}, {"image_size": side}, {"input_size": (side, side)}]
    return dict(fitting_options(f"torchvision/{name}", shape, candidates, build, classify_apart))


def create_model(name: str, shape: InputShape, options: Options) -> nn.Module:
    """Return the torchvision model with fresh parameters."""
    given = {**PLAIN.get(name, {}), **options}
    model: nn.Module = models.get_model(name, weights=None, num_classes=shape.num_classes, **given)
    switch_off_dropout(model)
    return model


def cut_classifier(model: nn.Module) -> tuple[str, nn.Linear]:
    """Take the last linear layer off a model, which then gives what that took; returns its place and the layer."""
    place, layer = [found for found in model.named_modules() if isinstance(found[1], nn.Linear)][-1]
    model.set_submodule(place, nn.Identity())
    assert isinstance(layer, nn.Linear)
    return place, layer


def classify_apart(model: nn.Module, images: Tensor) -> Tensor:
    """Return the (B, K) logits of a model's last layer on what the rest gives; the model has lost it then."""
    _, classifier = cut_classifier(model)
    logits: Tensor = classifier(model(images))
    return logits
