"""Tests of the method interface: settings are checked, defaults are complete, reasons are given."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import Field

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DDBenchError, UnknownNameError
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import (
    ADDED,
    METHODS,
    Method,
    NoConfig,
    RunContext,
    all_settings,
    check_ipc,
    config_of,
    make_method,
    with_added,
)


@dataclass(frozen=True)
class ToyConfig:
    """One setting of every kind, with bounds."""

    steps: Annotated[int, Field(gt=0)] = 10
    image_lr: Annotated[float, Field(gt=0)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    network: str = "mlp"
    siamese: bool = True


class Toy(Method):
    """Takes the first images of each class."""

    Config = ToyConfig

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        chosen = torch.cat([train.of_class(label)[:ipc] for label in range(train.num_classes)])
        return DistilledDataset(train.pixels(chosen), train.labels[chosen], train.num_classes, ipc, "pixels")


@pytest.fixture
def registered_toy(monkeypatch):
    """The toy method under the name `toy`, for one test."""
    monkeypatch.setitem(METHODS._entries, "toy", Toy)
    return "toy"


def toy_train(counts: tuple[int, ...] = (4, 2, 3)) -> LabeledImages:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    names = tuple("abc"[: len(counts)])
    info = DatasetInfo("toy", names, 1, 8, (0.5,), (0.5,), "")
    return LabeledImages(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), labels, info)


def test_settings_replace_defaults_and_leave_the_others(registered_toy):
    method = make_method(registered_toy, {"steps": 3, "siamese": False})
    assert isinstance(method, Toy)
    assert method.config == ToyConfig(steps=3, siamese=False)
    assert make_method(registered_toy).config == make_method(registered_toy, {}).config == ToyConfig()
    assert Toy().config == ToyConfig()


def test_settings_are_stored_whole_and_in_json(registered_toy):
    stored = config_of(make_method(registered_toy, {"steps": 3}))
    assert stored == {"steps": 3, "image_lr": 1.0, "momentum": 0.5, "network": "mlp", "siamese": True}
    assert json.loads(json.dumps(stored)) == stored


def test_an_added_setting_is_stored_only_where_it_was_changed():
    @dataclass(frozen=True)
    class Config:
        steps: int = 1
        precision: str = field(default="fp32", metadata=ADDED)

    class Later(Toy):
        pass

    Later.Config = Config
    assert config_of(Later()) == {"steps": 1}
    assert config_of(Later(Config(precision="bf16"))) == {"steps": 1, "precision": "bf16"}


def test_a_whole_number_for_a_rate_and_numbers_in_words_are_understood(registered_toy):
    config = make_method(registered_toy, {"steps": "30", "image_lr": 2}).config
    assert (config.steps, config.image_lr) == (30, 2.0)
    assert type(config.image_lr) is float


def test_settings_cannot_be_changed_afterwards(registered_toy):
    with pytest.raises(FrozenInstanceError):
        make_method(registered_toy).config.steps = 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 3}, "method toy has no setting 'step'; did you mean steps?"),
        ({"image_rl": 3, "steps": 3}, "method toy has no setting 'image_rl'; did you mean image_lr?"),
        ({"zzz": 3}, "method toy has no setting 'zzz'; known: image_lr, momentum, network, siamese, steps"),
        ({7: 3}, "method toy has no setting 7; known: image_lr, momentum, network, siamese, steps"),
        ({"steps": "many"}, "method toy: setting steps cannot be 'many': Input should be a valid integer"),
        ({"steps": "many\nlines"}, r"method toy: setting steps cannot be 'many\nlines': Input should be"),
        ({"steps": 2.5}, "method toy: setting steps cannot be 2.5: Input should be a valid integer"),
        ({"steps": None}, "method toy: setting steps cannot be None: Input should be a valid integer"),
        ({"network": 3}, "method toy: setting network cannot be 3: Input should be a valid string"),
        ({"siamese": "perhaps"}, "method toy: setting siamese cannot be 'perhaps': Input should be a valid boolean"),
        ({"steps": 0}, "method toy: setting steps cannot be 0: Input should be greater than 0"),
        ({"momentum": 1.0}, "method toy: setting momentum cannot be 1.0: Input should be less than 1"),
        ({"momentum": -0.1}, "method toy: setting momentum cannot be -0.1: Input should be greater than or equal to 0"),
        ({"image_lr": float("nan")}, "method toy: setting image_lr cannot be nan: Input should be greater than 0"),
        ({"image_lr": float("inf")}, "method toy: setting image_lr must be a finite number, got inf"),
        ({"image_lr": "inf"}, "method toy: setting image_lr must be a finite number, got inf"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(settings, message, registered_toy):
    with pytest.raises(BadInputError) as caught:
        make_method(registered_toy, settings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [
        ("dm", "stepz", 3, "did you mean steps"),
        ("dm", "steps", 0, "greater than 0"),
        ("dm", "image_momentum", 1, "less than 1"),
        ("herding", "feature_epochs", "ten", "valid integer"),
        ("k_means", "restart", 2, "did you mean restarts"),
    ],
)
def test_the_methods_that_ship_check_their_settings(name, setting, value, message):
    with pytest.raises(BadInputError, match=message) as caught:
        make_method(name, {setting: value})
    assert str(caught.value).startswith(f"method {name}")
    assert "\n" not in str(caught.value)


def test_a_method_without_settings_says_that_it_takes_none():
    assert make_method("random_real").config == NoConfig()
    with pytest.raises(BadInputError, match=r"^method random_real has no setting 'steps'; it takes none$"):
        make_method("random_real", {"steps": 3})


def test_an_unknown_method_is_named_with_what_is_close():
    with pytest.raises(UnknownNameError, match="unknown method 'herdin'; did you mean herding"):
        make_method("herdin")
    assert issubclass(UnknownNameError, DDBenchError)


def test_a_method_must_say_how_it_distills():
    with pytest.raises(TypeError, match="distill"):
        type("Nothing", (Method,), {})()


def test_ipc_reaches_to_the_smallest_class():
    assert check_ipc(toy_train(), 2) is None
    assert check_ipc(toy_train(), 3) == "ipc must be 1..2 (the smallest class of toy), got 3"
    assert Toy().unsupported(toy_train(), 3) == check_ipc(toy_train(), 3)


def test_an_empty_class_is_counted():
    assert "1..0" in str(check_ipc(toy_train((4, 0, 3)), 1))


def test_a_method_without_ipc_and_preparation_need_not_say_so(generator):
    keeps_all = type("KeepsAll", (Toy,), {"uses_ipc": False})
    assert keeps_all().unsupported(toy_train(), 1000) is None
    assert Toy().prepare(toy_train(), RunContext(torch.device("cpu"), generator, Path())) is None


def test_a_context_shows_and_keeps_nothing_unless_told(generator):
    ctx = RunContext(torch.device("cpu"), generator, Path())
    ctx.log("loss", 1.0)
    assert list(ctx.track(range(3), "counting")) == [0, 1, 2]
    assert ctx.prepared is None


def test_a_list_of_names_is_a_tuple_in_a_method_and_a_list_where_it_is_stored(monkeypatch):
    @dataclass(frozen=True)
    class Config:
        networks: tuple[str, ...] = ("mlp",)
        further: tuple[str, ...] = field(default=("lenet",), metadata=ADDED)

    class Listing(Toy):
        pass

    Listing.Config = Config
    monkeypatch.setitem(METHODS._entries, "listing", Listing)
    method = make_method("listing", {"networks": ["mlp", "lenet"]})
    assert method.config.networks == ("mlp", "lenet")
    assert config_of(method) == {"networks": ["mlp", "lenet"]}
    assert with_added("listing", config_of(method)) == all_settings(method)
    assert all_settings(method) == {"networks": ["mlp", "lenet"], "further": ["lenet"]}
