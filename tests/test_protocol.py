"""Tests of protocols: schedules and augmentation of the reference code, and hashes that tell every difference."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddbench.errors import UnknownNameError
from ddbench.protocol import (
    DSA_STRATEGY,
    DSA_STRATEGY_NO_FLIP,
    PROTOCOLS,
    Protocol,
    Protocols,
    Schedule,
    dsa_strategy,
)

# Every version of every named protocol that results were ever recorded under. Entries are added, never edited: a change
# that moves numbers is a new version, and its results are not comparable with those of the old one.
GOLDEN = json.loads((Path(__file__).parent / "golden" / "protocols.json").read_text(encoding="utf-8"))
NAMES = pytest.mark.parametrize("name", PROTOCOLS.names())


def dump(protocol):
    return protocol.model_dump(mode="json")


def changed(value):
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 2
        case str():
            return f"{value}_changed"
        case Schedule():
            return value.model_copy(update={"epochs": value.epochs + 1})
        case Mapping():
            return {**value, "another": next(iter(value.values()), Schedule(epochs=2, drop_at=1))}
    raise AssertionError(f"no other value known for {value!r}: extend this function for the new field")


@NAMES
def test_every_field_of_a_named_protocol_is_the_recorded_one(name):
    protocol = PROTOCOLS.get(name)
    assert GOLDEN[f"{name} v{protocol.version}"] == {"hash": protocol.hash, "fields": dump(protocol)}


@pytest.mark.parametrize("entry", GOLDEN)
def test_recorded_versions_keep_their_hash(entry):
    assert Protocol.model_validate(GOLDEN[entry]["fields"]).hash == GOLDEN[entry]["hash"]


def test_no_default_has_changed_under_the_recorded_hashes():
    least = {"name": "x", "version": 1, "network": "mlp", "schedule": {"epochs": 2, "drop_at": 1}}
    plain = Protocol.model_validate({**least, "real_schedule": {"epochs": 3, "drop_at": 2}})
    assert dump(plain) == {
        **least,
        "schedule_for": {},
        "real_schedule": {"epochs": 3, "drop_at": 2},
        "optimiser": "sgd",
        "lr": 0.01,
        "lr_drop": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "resets_momentum": True,
        "batch_size": 256,
        "augmentation": "",
        "augmentation_for": {},
        "precision": "fp32",
        "reported": "last epoch",
    }


def test_dsa_and_dc_train_as_long_as_the_reference_loops():
    dsa, dc = PROTOCOLS.get("dsa"), PROTOCOLS.get("dc")
    for dataset in ("cifar10", "mnist", "svhn", "digits"):
        schedule = dsa.schedule_of(dataset, is_full_real=False)
        assert (schedule.epochs, schedule.drop_at, schedule.epochs - schedule.drop_at) == (1001, 502, 499)
    assert dc.schedule_of("cifar10", is_full_real=False) == Schedule(epochs=301, drop_at=152)
    assert dc.schedule_of("mnist", is_full_real=False) == Schedule(epochs=1001, drop_at=502)
    for protocol in (dsa, dc):
        assert (protocol.network, protocol.optimiser, protocol.batch_size) == ("convnet-d3", "sgd", 256)
        assert (protocol.lr, protocol.lr_drop, protocol.momentum, protocol.weight_decay) == (0.01, 0.1, 0.9, 5e-4)
        assert protocol.resets_momentum
        assert protocol.reported == "last epoch"


@NAMES
def test_whole_real_set_has_a_schedule_of_its_own(name):
    protocol = PROTOCOLS.get(name)
    for dataset in ("cifar10", "mnist"):
        real = protocol.schedule_of(dataset, is_full_real=True)
        assert real == protocol.real_schedule
        assert real.drop_at < real.epochs < protocol.schedule.epochs


@pytest.mark.parametrize("name", ["dsa", "quick"])
def test_digits_are_never_mirrored(name):
    protocol = PROTOCOLS.get(name)
    for dataset in ("digits", "mnist", "svhn"):
        assert protocol.augmentation_of(dataset) == dsa_strategy(dataset) == DSA_STRATEGY_NO_FLIP
        assert "flip" not in protocol.augmentation_of(dataset).split("_")
    for dataset in ("cifar10", "cifar100", "fashion_mnist", "tiny_imagenet"):
        assert protocol.augmentation_of(dataset) == dsa_strategy(dataset) == DSA_STRATEGY
    assert set(DSA_STRATEGY.split("_")) - set(DSA_STRATEGY_NO_FLIP.split("_")) == {"flip"}


def test_dc_augments_mnist_alone():
    dc = PROTOCOLS.get("dc")
    assert dc.augmentation_of("mnist") == "crop_scale_rotate"
    assert dc.augmentation_of("cifar10") == dc.augmentation_of("svhn") == ""


@NAMES
@pytest.mark.parametrize("field", Protocol.model_fields)
def test_any_changed_field_changes_the_hash(name, field):
    protocol = PROTOCOLS.get(name)
    other = protocol.model_copy(update={field: changed(getattr(protocol, field))})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Pydantic serializer warnings")  # a field may have one legal value so far
        assert other.hash != protocol.hash


NUMBERS = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.sampled_from([0.01, 0.02]),
        "momentum": st.sampled_from([0.9, 0.0]),
        "batch_size": st.sampled_from([256, 1]),
        "resets_momentum": st.booleans(),
        "augmentation_for": st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "flip"])),
        "schedule_for": st.dictionaries(st.sampled_from("abc"), st.just(Schedule(epochs=2, drop_at=1))),
    },
)


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_hashes_are_equal_exactly_where_all_fields_are(first, second):
    dsa = dump(PROTOCOLS.get("dsa"))
    one, other = (Protocol.model_validate({**dsa, **changes}) for changes in (first, second))
    assert (one.hash == other.hash) == (dump(one) == dump(other))


def test_order_of_fields_and_entries_does_not_change_the_hash():
    dsa = PROTOCOLS.get("dsa")
    backwards = {key: dump(dsa)[key] for key in reversed(Protocol.model_fields)}
    backwards["augmentation_for"] = dict(reversed(backwards["augmentation_for"].items()))
    assert Protocol.model_validate(backwards).hash == dsa.hash


def test_protocol_is_frozen_and_strict():
    dsa = PROTOCOLS.get("dsa")
    with pytest.raises(ValidationError, match="frozen"):
        dsa.lr = 1.0
    for changes, message in (
        ({"learning_rate": 1.0}, "Extra inputs"),
        ({"version": 0}, "greater than or equal to 1"),
        ({"schedule": {"epochs": 0, "drop_at": 1}}, "greater than 0"),
        ({"optimiser": "adam"}, "sgd"),
    ):
        with pytest.raises(ValidationError, match=message):
            Protocol.model_validate({**dump(dsa), **changes})


def test_unknown_protocol_lists_near_misses():
    with pytest.raises(UnknownNameError, match=r"^unknown protocol 'das'; did you mean dsa\?$"):
        PROTOCOLS.get("das")


def test_taken_name_is_refused_and_the_same_content_is_not():
    dsa = PROTOCOLS.get("dsa")
    protocols = Protocols(dsa)
    assert protocols.register(dsa.model_copy()) == dsa
    with pytest.raises(ValueError, match="protocol name 'dsa' is taken by another content"):
        protocols.register(dsa.model_copy(update={"lr": 0.02}))
    protocols.register(dsa.model_copy(update={"name": "mine"}))
    assert protocols.names() == ("dsa", "mine")
    assert "mine" not in PROTOCOLS.names()


@NAMES
def test_summary_names_version_and_hash(name):
    protocol = PROTOCOLS.get(name)
    assert f"v{protocol.version}@{protocol.hash}" in PROTOCOLS.summary(name)
