"""Tests of the contract of networks: one broken on purpose fails in the rule that is there for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape, Network, parse_variant
from ddbench.registry import NETWORKS
from ddbench.testing import run_contract

SHAPES = "embedding and logits have their shapes"
SAME_SEED = "same seed gives the same parameters"
OTHER_SEED = "other seed gives other parameters"
GRADIENT = "gradient reaches every parameter"
IMAGES = "gradient reaches the images"
ALONE = "output of an image depends on no other in evaluation"
REPEATS = "evaluation repeats itself"
STATE = "state survives a round trip through a file"
NATIVE = "native form gives the same logits"
OTHER_SHAPES = {f"other shapes are taken or refused in one line ({count})" for count in (2, 100)}
VARIANT = "unknown variant is refused in one line"
EVERY = {SHAPES, SAME_SEED, OTHER_SEED, GRADIENT, IMAGES, ALONE, REPEATS, STATE, NATIVE, *OTHER_SHAPES, VARIANT}


class Sound(Network):
    """One hidden layer; the broken ones change one thing."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        self.hidden = nn.Linear(shape.channels * shape.image_size**2, 6)
        self.classifier = nn.Linear(6, shape.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        return self.hidden(images.flatten(1)).relu()

    def classify(self, embeddings: Tensor) -> Tensor:
        return self.classifier(embeddings)


class OneClassTooMany(Sound):
    """Gives a logit too many."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__(InputShape(shape.channels, shape.image_size, shape.num_classes + 1))


class MapsAsEmbedding(Sound):
    """Embeds into three axes."""

    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images)[:, :, None]

    def classify(self, embeddings: Tensor) -> Tensor:
        return super().classify(embeddings.flatten(1))


class ForwardOfItsOwn(Sound):
    """Gives other logits than classify after embed."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 1


class SeedsItself(Sound):
    """Ignores the seed."""

    def __init__(self, shape: InputShape) -> None:
        torch.default_generator.manual_seed(0)
        super().__init__(shape)


class SeededElsewhere(Sound):
    """Draws from a generator of its own."""

    source = torch.Generator().manual_seed(0)

    def __init__(self, shape: InputShape) -> None:
        super().__init__(shape)
        self.hidden.weight.data.normal_(generator=self.source)


class UnusedLayer(Sound):
    """Has a layer that it does not use."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__(shape)
        self.unused = nn.Linear(2, 2)


class Detached(Sound):
    """Cuts the graph before the images."""

    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images.detach())


class NormalisesOverTheBatch(Sound):
    """Lets the batch into each embedding."""

    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images - images.mean(0, keepdim=True))


class DropoutInEvaluation(Sound):
    """Drops units in evaluation too."""

    def embed(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(super().embed(images), 0.5)


class HiddenState(Sound):
    """Keeps a number that its state lacks."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__(shape)
        self.scale = torch.rand(())

    def classify(self, embeddings: Tensor) -> Tensor:
        return super().classify(embeddings) * self.scale


class OtherNativeForm(Sound):
    """Has a native form of other parameters."""

    def native(self) -> Network:
        return type(self)(InputShape(3, 32, 10))


class BreaksOnGrey(Sound):
    """Fails on grey images, which it accepted."""

    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images[:, [0, 1, 2]])


def failures(network, monkeypatch, checks_variant=True):
    def build(variant, shape):
        if checks_variant:
            parse_variant("candidate", variant, {}, {})
        return network(shape)

    monkeypatch.setitem(NETWORKS._entries, "candidate", build)
    outcomes = {outcome.rule: outcome for outcome in run_contract("network", "candidate")}
    assert set(outcomes) == EVERY
    return {rule for rule, outcome in outcomes.items() if not outcome.holds}


def test_a_sound_network_passes(monkeypatch):
    assert failures(Sound, monkeypatch) == set()


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (OneClassTooMany, {SHAPES, *OTHER_SHAPES}),
        (MapsAsEmbedding, {SHAPES, *OTHER_SHAPES}),
        (ForwardOfItsOwn, {SHAPES, *OTHER_SHAPES}),
        (SeedsItself, {OTHER_SEED}),
        (SeededElsewhere, {SAME_SEED}),
        (UnusedLayer, {GRADIENT}),
        (Detached, {IMAGES}),
        (NormalisesOverTheBatch, {ALONE}),
        (DropoutInEvaluation, {REPEATS}),
        (HiddenState, {STATE}),
        (OtherNativeForm, {NATIVE}),
        (BreaksOnGrey, OTHER_SHAPES),
    ],
)
def test_a_broken_network_fails_where_it_is_broken(network, expected, monkeypatch):
    found = failures(network, monkeypatch)
    assert found >= expected
    assert found != EVERY


def test_a_family_that_takes_any_variant_fails(monkeypatch):
    assert failures(Sound, monkeypatch, checks_variant=False) == {VARIANT}


def test_a_network_that_takes_no_usual_shape_is_refused_with_its_reason(monkeypatch):
    def build(variant, shape):
        raise BadInputError("needs images of 512 px")

    monkeypatch.setitem(NETWORKS._entries, "candidate", build)
    with pytest.raises(BadInputError, match="needs images of 512 px"):
        run_contract("network", "candidate")
