"""Tests of protocols: schedules and augmentation of the reference code, and hashes that tell every difference."""

import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import ddbench.protocols
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP, dsa_strategy, without_flip
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.host.files import sha256_of
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.registry import ProtocolRegistry
from ddbench.training_recipe import (
    BestOf,
    CutMix,
    ImageAugmentation,
    ManyClasses,
    Mixup,
    Part,
    SmallImages,
    Teacher,
    TeacherNetwork,
)
from tests._toy import INFO

# Every version of every named protocol that results were ever recorded under. Entries are added, never edited: a change
# that moves numbers is a new version, and its results are not comparable with those of the old one.
GOLDEN = json.loads((Path(__file__).parent / "golden" / "protocols.json").read_text(encoding="utf-8"))
NAMES = pytest.mark.parametrize("name", PROTOCOLS.names())


def dump(protocol):
    return protocol.model_dump(mode="json")


def info_of(name, **fields):
    return replace(INFO, name=name, **fields)


# For the fields that are None where a protocol has no such part.
PARTS = {
    "image_augmentation": ImageAugmentation(crop_area=(0.5, 1.0), flip=0.5, jitter=0.4, lighting=0.1),
    "cutmix": CutMix(probability=1.0, beta=1.0),
    "mixup": Mixup(alpha=0.8),
    "best_of": BestOf(every=10, at=9),
    "small_images": SmallImages(
        up_to=32, image_augmentation=ImageAugmentation(crop_area=(1.0, 1.0), flip=0.5, jitter=0.0, lighting=0.0)
    ),
    "many_classes": ManyClasses(more_than=100, lr=0.1, weight_decay=1e-4, batch_size=128),
    "teacher": Teacher(network="mlp", schedule=Schedule(epochs=2, drop_at=1), seed=0, temperature=20.0, loss="kl"),
}
IMAGENET = pytest.mark.parametrize("name", ["imagenet-hard", "soft-label"])


def changed(field, value):
    """Another value of the same kind."""
    match value:
        case None:
            return PARTS[field]
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 2 + 0.1
        case str():
            return f"{value}_changed"
        case Part():
            first = next(iter(type(value).model_fields))
            return value.model_copy(update={first: changed(first, getattr(value, first))})
        case tuple():
            return (*value, value[-1])
        case Mapping():
            return {**value, "another": next(iter(value.values()), Schedule(epochs=2, drop_at=1))}
    raise AssertionError(f"no other value known for {value!r}: extend this function for the new field")


@NAMES
def test_every_field_of_a_named_protocol_is_the_recorded_one(name):
    protocol = PROTOCOLS.get(name)
    recorded = GOLDEN[f"{name} v{protocol.version}"]
    assert recorded["hash"] == protocol.hash
    # Fields added after a version was recorded stand at their default, which the recorded hash is that of.
    assert Protocol.model_validate(recorded["fields"]) == protocol
    assert recorded["fields"].keys() <= dump(protocol).keys()


def test_the_first_protocols_keep_the_hashes_of_their_recorded_results():
    found = {name: PROTOCOLS.get(name).hash for name in ("dsa", "dc", "quick")}
    assert found == {"dsa": "a28e5b1fc625", "dc": "e223d5f8c122", "quick": "f58e2342656b"}


@pytest.mark.parametrize("entry", GOLDEN)
def test_recorded_versions_keep_their_hash(entry):
    assert Protocol.model_validate(GOLDEN[entry]["fields"]).hash == GOLDEN[entry]["hash"]


def test_no_default_has_changed_under_the_recorded_hashes():
    least = {"name": "x", "version": 1, "network": "mlp"}
    schedules = {"schedule": {"epochs": 2, "drop_at": 1}, "real_schedule": {"epochs": 3, "drop_at": 2}}
    plain = Protocol.model_validate({**least, **schedules})
    assert dump(plain) == {
        **least,
        **{key: {**schedule, "later_drops": [], "curve": "drops"} for key, schedule in schedules.items()},
        "schedule_for": {},
        "optimiser": "sgd",
        "lr": 0.01,
        "lr_for": {},
        "lr_drop": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "decays": "all",
        "average": 0.0,
        "resets_momentum": True,
        "batch_size": 256,
        "batch_size_for": {},
        "accumulates": 1,
        "norm_passes": 1,
        "augmentation": "",
        "augmentation_for": {},
        "precision": "fp32",
        "reported": "last epoch",
        "best_of": None,
        "resize": "",
        "image_augmentation": None,
        "small_images": None,
        "mirrors_all": True,
        "cutmix": None,
        "mixup": None,
        "many_classes": None,
        "test_margin": False,
        "teacher": None,
    }


def test_dsa_and_dc_train_as_long_as_the_reference_loops():
    dsa, dc = PROTOCOLS.get("dsa"), PROTOCOLS.get("dc")
    for dataset in ("cifar10", "mnist", "svhn", "digits"):
        schedule = dsa.schedule_of(dataset, 1, 10)
        assert (schedule.epochs, schedule.drop_at, schedule.epochs - schedule.drop_at) == (1001, 502, 499)
    assert dc.schedule_of("cifar10", 1, 10) == Schedule(epochs=301, drop_at=152)
    assert dc.schedule_of("mnist", 50, 10) == Schedule(epochs=1001, drop_at=502)
    for protocol in (dsa, dc):
        assert (protocol.network, protocol.optimiser, protocol.batch_size) == ("convnet-d3", "sgd", 256)
        assert (protocol.lr, protocol.lr_drop, protocol.momentum, protocol.weight_decay) == (0.01, 0.1, 0.9, 5e-4)
        assert protocol.resets_momentum
        assert protocol.reported == "last epoch"


@NAMES
def test_whole_real_set_has_a_schedule_of_its_own(name):
    protocol = PROTOCOLS.get(name)
    for dataset in ("cifar10", "mnist"):
        real = protocol.schedule_of(dataset, None, 10)
        assert real == protocol.real_schedule
        assert max(real.drops, default=0) < real.epochs < protocol.schedule_of(dataset, 10, 10).epochs


@pytest.mark.parametrize("name", ["dsa", "quick"])
def test_what_may_not_be_mirrored_never_is_whether_a_protocol_names_it_or_not(name):
    protocol = PROTOCOLS.get(name)
    for dataset in ("digits", "mnist", "svhn", "letters_of_a_plugin"):
        info = info_of(dataset, may_be_mirrored=False)
        assert protocol.augmentation_of(info) == dsa_strategy(info) == DSA_STRATEGY_NO_FLIP
    for dataset in ("cifar10", "cifar100", "fashion_mnist", "tiny_imagenet"):
        info = info_of(dataset)
        assert protocol.augmentation_of(info) == dsa_strategy(info) == DSA_STRATEGY
    assert without_flip(DSA_STRATEGY) == DSA_STRATEGY_NO_FLIP


def test_a_strategy_named_for_a_data_set_stands_as_it_is():
    protocol = Protocol.model_validate({**dump(PROTOCOLS.get("dsa")), "augmentation_for": {"pairs": "flip"}})
    assert protocol.augmentation_of(info_of("pairs", may_be_mirrored=False)) == "flip"
    assert without_flip("flip") == without_flip("") == ""


@IMAGENET
def test_imagenet_protocols_are_those_of_the_minimax_repository(name):
    protocol = PROTOCOLS.get(name)
    assert (protocol.network, protocol.optimiser, protocol.batch_size) == ("resnet_ap10", "sgd", 64)
    assert (protocol.lr, protocol.lr_drop, protocol.momentum, protocol.weight_decay) == (0.01, 0.2, 0.9, 5e-4)
    assert not protocol.resets_momentum
    assert (protocol.reported, protocol.augmentation) == ("last epoch", "")
    assert protocol.image_augmentation == PARTS["image_augmentation"]
    assert protocol.cutmix == PARTS["cutmix"]
    expected = {1: 3000, 2: 2000, 10: 2000, 11: 1500, 50: 1500, 51: 1000, 200: 1000, 201: 500, 500: 500, 501: 300}
    for ipc, epochs in expected.items():
        found = protocol.schedule_of("imagenette", ipc, 10)
        assert found == Schedule(epochs=epochs, drop_at=2 * epochs // 3, later_drops=(5 * epochs // 6,))
    assert protocol.schedule_of("imagenette", None, 10) == Schedule(epochs=300, drop_at=200, later_drops=(250,))


@IMAGENET
def test_many_classes_shorten_the_schedule_or_change_the_constants(name):
    protocol = PROTOCOLS.get(name)
    at_100 = {1: 2000, 10: 1300, 50: 1000, 200: 600, 500: 300, 501: 200}
    assert {ipc: protocol.schedule_of("imagenet100", ipc, 100).epochs for ipc in at_100} == at_100
    assert [protocol.schedule_of("x", 10, count).epochs for count in (99, 101)] == [2000, 2000]
    assert protocol.for_classes(100) == protocol
    many = protocol.for_classes(101)
    assert (many.lr, many.weight_decay, many.batch_size) == (0.1, 1e-4, 128)
    assert many.model_copy(update={key: getattr(protocol, key) for key in ("lr", "weight_decay", "batch_size")}) == (
        protocol
    )
    assert PROTOCOLS.get("dsa").for_classes(1000) == PROTOCOLS.get("dsa")


@pytest.mark.parametrize("suffix", ["", "-2cores"])
def test_soft_labels_are_all_that_sets_the_two_imagenet_protocols_apart(suffix):
    hard, soft = (PROTOCOLS.get(f"{name}{suffix}") for name in ("imagenet-hard", "soft-label"))
    resizing = {key: dump(hard)[key] for key in ("version", "resize")}  # came later, and to hard labels alone
    assert {**dump(soft), "name": hard.name, "teacher": None, **resizing} == dump(hard)
    assert (soft.teacher.temperature, soft.teacher.loss) == (20, "kl")
    assert soft.teacher.schedule == hard.real_schedule


@pytest.mark.parametrize("name", ["imagenet-hard", "soft-label"])
def test_a_variant_for_two_cores_has_a_tenth_of_the_epochs_and_another_hash(name):
    full, cut = PROTOCOLS.get(name), PROTOCOLS.get(f"{name}-2cores")
    assert full.hash != cut.hash
    for ipc in (1, 10, 50, 200, 500, 1000, None):
        long, short = (protocol.schedule_of("imagenette", ipc, 10) for protocol in (full, cut))
        assert (10 * short.epochs, 10 * short.drop_at) == (long.epochs, pytest.approx(long.drop_at, abs=9))
    different = {key for key, value in dump(full).items() if dump(cut)[key] != value}
    assert different <= {"name", "version", "network", "schedule", "real_schedule", "teacher", "resize"}


def test_a_teacher_from_a_file_is_another_protocol_that_follows_from_its_bytes(tmp_path):
    path, copy = tmp_path / "my teacher.safetensors", tmp_path / "copy"
    path.write_bytes(b"parameters")
    copy.write_bytes(b"parameters")
    usual, found = PROTOCOLS.get("soft-label"), PROTOCOLS.get(f"soft-label,teacher={path}")
    assert found.name == f"soft-label,teacher={sha256_of(path)[:12]}"
    assert (found.teacher.path, found.teacher.sha256) == (str(path), sha256_of(path))
    assert found.hash == PROTOCOLS.get(f"soft-label,teacher={copy}").hash != usual.hash
    assert "path" not in dump(found)["teacher"]
    named = PROTOCOLS.get(f"soft-label,teacher={path},teacher_network=convnet-d6")
    assert (named.teacher.network, named.hash == found.hash) == ("convnet-d6", False)
    path.write_bytes(b"others")
    assert PROTOCOLS.get(f"soft-label,teacher={path}").hash != found.hash


def test_a_protocol_without_a_teacher_takes_no_options():
    with pytest.raises(BadInputError, match="protocol dsa takes no options, got 'teacher=x'; soft-label takes some"):
        PROTOCOLS.get("dsa,teacher=x")


def test_several_teachers_are_part_of_the_hash():
    usual = PROTOCOLS.get("soft-label")
    other = TeacherNetwork(network="convnet-d3")
    several = usual.model_copy(update={"teacher": usual.teacher.model_copy(update={"others": (other,)})})
    assert several.hash != usual.hash
    assert several.teacher.members == (several.teacher, other)
    assert Protocol.model_validate(dump(several)) == several


def test_dc_augments_mnist_alone():
    dc = PROTOCOLS.get("dc")
    assert dc.augmentation_of(info_of("mnist", may_be_mirrored=False)) == "crop_scale_rotate"
    for info in (info_of("cifar10"), info_of("svhn", may_be_mirrored=False)):
        assert dc.augmentation_of(info) == ""


@NAMES
@pytest.mark.parametrize("field", Protocol.model_fields)
def test_any_changed_field_changes_the_hash(name, field):
    protocol = PROTOCOLS.get(name)
    other = protocol.model_copy(update={field: changed(field, getattr(protocol, field))})
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
        ({"schedule": {"epochs": 2, "curve": "cosine"}}, "resets_momentum must be false"),
    ):
        with pytest.raises(ValidationError, match=message):
            Protocol.model_validate({**dump(dsa), **changes})


def test_unknown_protocol_lists_near_misses():
    with pytest.raises(UnknownNameError, match=r"^unknown protocol 'das'; did you mean dsa or datm\?$"):
        PROTOCOLS.get("das")


def test_taken_name_is_refused_and_the_same_content_is_not():
    dsa = PROTOCOLS.get("dsa")
    protocols = ProtocolRegistry("protocol")
    assert protocols.register(dsa) == protocols.register(dsa.model_copy()) == dsa
    with pytest.raises(ValueError, match="protocol name 'dsa' is taken by another content"):
        protocols.register(dsa.model_copy(update={"lr": 0.02}))
    mine = dsa.model_copy(update={"name": "mine"})
    assert protocols.register("mine")(mine) is protocols.get("mine") is mine
    assert protocols.names() == ("dsa", "mine")
    assert protocols.summary("mine") == f"v1@{mine.hash}: convnet-d3"
    assert "mine" not in PROTOCOLS.names()


def test_name_that_a_file_has_is_taken_before_the_file_is_imported():
    code = """
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
short = Schedule(epochs=2, drop_at=1)
PROTOCOLS.register(Protocol(name="dsa-bf16", version=1, network="mlp", schedule=short, real_schedule=short))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "protocol name 'dsa-bf16' is taken by ddbench's own dsa_bf16.py" in done.stderr


def test_a_protocol_is_registered_under_its_own_name():
    with pytest.raises(ValueError, match="protocol 'dsa' must be registered as such, not as 'other'"):
        ProtocolRegistry("protocol").register("other")(PROTOCOLS.get("dsa"))


def test_underscore_of_a_file_is_a_dash_of_the_name():
    folder = Path(ddbench.protocols.__file__).parent
    stems = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert {stem.replace("_", "-") for stem in stems} == set(PROTOCOLS.names())
    assert {"dsa_bf16", "imagenet_hard_2cores"} <= stems
    with pytest.raises(UnknownNameError, match="did you mean dsa-bf16"):
        PROTOCOLS.get("dsa_bf16")


@NAMES
def test_summary_names_version_and_hash(name):
    protocol = PROTOCOLS.get(name)
    assert PROTOCOLS.summary(name).startswith(f"v{protocol.version}@{protocol.hash}: ")


def test_a_copy_that_cannot_be_is_refused_when_it_is_registered():
    dsa = PROTOCOLS.get("dsa")
    for changes, words in (
        ({"batch_size": 0}, "protocol copy: .*batch_size"),
        ({"schedule": Schedule(epochs=2, curve="cosine")}, "protocol copy: .*resets_momentum must be false"),
    ):
        with pytest.raises(BadInputError, match=words):
            ProtocolRegistry("protocol").register(dsa.model_copy(update={"name": "copy", **changes}))
