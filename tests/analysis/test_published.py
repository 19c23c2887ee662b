"""Published numbers: the file itself, how it is read, and which number stands for an entry."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ddbench.analysis import published
from ddbench.analysis.published import find_published, list_published, load_published
from ddbench.errors import BadInputError, DataMissingError
from ddbench.host.files import baselines_dir

ENTRY = {
    "method": "dm",
    "dataset": "cifar10",
    "ipc": 10,
    "model": "ConvNet-D3",
    "metric": "test_accuracy",
    "value": 48.9,
    "source": "DM",
    "via": "DM paper",
    "confidence": "read",
    "kind": "own",
    "protocol": "dc-hard",
}


def write(folder: Path, *entries: dict, name: str = "numbers.toml") -> Path:
    def literal(value):
        return f'"{value}"' if isinstance(value, str) else str(value)

    tables = ["\n".join(["[[claim]]", *(f"{key} = {literal(value)}" for key, value in e.items())]) for e in entries]
    path = folder / name
    path.write_text("\n\n".join(tables), encoding="utf-8")
    return path


def test_the_file_is_whole_and_loads_quickly():
    load_published.cache_clear()
    start = time.process_time()  # not the wall's: the machine may be busy
    numbers = load_published()
    assert time.process_time() - start < 2  # 0.15 s on an idle core
    assert len(numbers) == 2055
    assert load_published() is numbers


def test_the_file_names_no_machine_and_no_address():
    text = (baselines_dir() / "published.toml").read_text(encoding="utf-8")
    assert not [word for word in ("/work", "/root", "/home", "/tmp", "://", "localhost") if word in text]


@pytest.mark.parametrize(
    ("method", "dataset", "ipc", "network", "protocol", "value"),
    [
        ("dm", "cifar10", 10, "convnet-d3", "dsa", 48.9),
        ("dsa", "cifar10", 10, "convnet-d3", "dsa", 52.1),
        ("dc", "cifar10", 10, "convnet-d3", "dc", 44.9),
        ("random_real", "cifar10", 10, "convnet-d3", "dc", 26.0),
        ("random_real", "cifar10", 10, "convnet-d3", "dsa", 31.0),
        ("herding", "cifar10", 10, "convnet-d3", "dc", 31.6),
        ("k_center", "cifar10", 10, "convnet-d3", "dc", 14.7),
        ("full_real", "cifar10", None, "convnet-d3", "dsa", 84.8),
        ("full_real", "fashion_mnist", None, "convnet-d3", "dsa", 93.5),
        ("full_real", "tiny_imagenet", None, "convnet-d4", "dsa", 37.6),
        ("minimax", "imagewoof", 10, "resnet_ap10", "imagenet-hard", 39.2),
        ("minimax", "imagewoof", 10, "convnet-d6", "imagenet-hard", 37.0),
        ("minimax", "imagewoof", 10, "resnet18", "imagenet-hard", 37.6),
    ],
)
def test_known_entries_are_found_under_our_names(method, dataset, ipc, network, protocol, value):
    entry = find_published(method, dataset, ipc, network, protocol)
    assert entry is not None
    assert entry.shown.value == value
    assert entry.protocol == protocol


@pytest.mark.parametrize(
    ("method", "dataset", "ipc", "network", "protocol"),
    [
        ("random_real", "cifar10", 10, "convnet-d3", "quick"),
        ("herding", "cifar10", 10, "convnet-d3", "dsa"),
        ("dm", "cifar10", 11, "convnet-d3", "dsa"),
        ("dm", "cifar10", 10, "convnet-d4", "dsa"),
        ("dm", "digits", 10, "convnet-d3", "dsa"),
        ("dm", "cifar10", None, "convnet-d3", "dsa"),
    ],
)
def test_another_entry_is_not_taken_for_it(method, dataset, ipc, network, protocol):
    assert find_published(method, dataset, ipc, network, protocol) is None


def test_every_slug_of_the_translation_occurs_in_the_file():
    numbers = load_published()
    assert set(published.METHOD_NAMES) - {n.method for n in numbers} == {"kcenter"}
    assert set(published.DATASET_NAMES) <= {n.dataset for n in numbers}
    assert set(published.NETWORK_NAMES) <= {n.model for n in numbers}
    assert set(published.PROTOCOL_NAMES) <= {n.protocol for n in numbers}


def test_our_networks_and_datasets_of_the_translation_are_registered():
    from ddbench.inputs.network_names import split_spec
    from ddbench.registry import DATASETS

    assert set(published.DATASET_NAMES.values()) <= set(DATASETS.names())
    assert all(split_spec(name) for name in published.NETWORK_NAMES.values())


def test_resolution_counts():
    assert find_published("dm", "imagenette,size=128", 1, "convnet-d5", "dsa").shown.value == 32.8
    assert find_published("dm", "imagenette", 1, "convnet-d5", "dsa") is None
    assert find_published("minimax", "imagewoof,size=224", 10, "resnet_ap10", "imagenet-hard").shown.value == 39.2


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_number_stands_beside_its_own_image_size_only(side):
    assert find_published("minimax", f"imagewoof,size={side}", 10, "resnet_ap10", "imagenet-hard") is None


@pytest.mark.parametrize(("side", "is_shown"), [(224, True), (64, False)])
def test_a_number_whose_source_says_no_size_is_taken_for_the_usual_one_with_a_note(tmp_path, side, is_shown):
    path = write(tmp_path, {**ENTRY, "dataset": "imagewoof"})
    entry = find_published("dm", f"imagewoof,size={side}", 10, "convnet-d3", "dsa", path=path)
    assert (entry is not None) == is_shown
    if entry is not None:
        assert published.SIZE_NOT_SAID in entry.shown.caveats


def test_images_of_another_source_have_no_published_number():
    assert list_published("minimax", "imagewoof,source=imagewoof", 10, "resnet_ap10") == ()


def test_soft_label_resnets_are_the_batch_norm_ones():
    number = next(n for n in load_published() if n.model == "ResNet-18" and n.protocol == "rded-soft")
    assert number.registry_network == "resnet18-bn"
    convnet = next(n for n in load_published() if n.model == "ConvNet-D3" and n.protocol == "rded-soft")
    assert convnet.registry_network == "convnet-d3-bn"


@pytest.mark.parametrize(
    ("method", "dataset", "protocol"),
    [
        ("sre2l", "cifar100", "sre2l-cifar"),
        ("sre2l", "tinyimagenet", "sre2l-soft"),
        ("sre2l", "imagenet1k", "sre2l"),
        ("g-vbsm", "imagenet1k", "gvbsm"),
        ("g-vbsm", "cifar100", "sre2l-soft"),
    ],
)
def test_soft_label_numbers_are_of_our_protocols_and_of_the_best_test(tmp_path, method, dataset, protocol):
    entry = {**ENTRY, "method": method, "dataset": dataset, "protocol": "sre2l-soft", "model": "ResNet-18"}
    path = write(tmp_path, entry)
    (number,) = load_published(path)
    assert (number.registry_protocol, number.registry_metric) == (protocol, "test_accuracy_best")
    assert any("test_accuracy_best" in caveat for caveat in number.caveats)
    assert all(other.registry_metric == "test_accuracy" for other in load_published() if other.protocol == "dc-hard")


def test_rded_at_its_own_protocol_is_found():
    entry = find_published("rded", "cifar10", 10, "convnet-d3-bn", "rded")
    assert (entry.protocol, entry.shown.registry_metric) == ("rded", "test_accuracy_best")


def test_listing_shows_every_protocol_once_and_ours_first():
    entries = list_published("random_real", "cifar10", 10, "convnet-d3")
    assert [entry.protocol for entry in entries] == ["dsa", "dc", "dc-bench"]


def test_disagreeing_sources_are_listed_and_never_averaged(tmp_path):
    rerun = {**ENTRY, "value": 47.0, "kind": "rerun", "source": "other"}
    same = {**ENTRY, "kind": "quoted", "source": "third"}
    entry = find_published("dm", "cifar10", 10, "convnet-d3", "dsa", path=write(tmp_path, rerun, same, ENTRY))
    assert entry.shown.value == 48.9
    assert entry.shown.kind == "own"
    assert [(n.value, n.source) for n in entry.disagreeing] == [(47.0, "other")]


def test_preference_is_no_copy_error_then_read_then_kind_then_places(tmp_path):
    ordered = [
        {**ENTRY, "value": 1.0, "kind": "own"},
        {**ENTRY, "value": 2.0, "kind": "quoted", "via": "a; b"},
        {**ENTRY, "value": 3.0, "kind": "quoted"},
        {**ENTRY, "value": 4.0, "kind": "rerun"},
        {**ENTRY, "value": 5.0, "kind": "community"},
        {**ENTRY, "value": 6.0, "confidence": "recalled"},
        {**ENTRY, "value": 7.0, "note": "a copy error"},
    ]
    path = write(tmp_path, *reversed(ordered))
    entry = find_published("dm", "cifar10", 10, "convnet-d3", "dsa", path=path)
    assert [number.value for number in entry.numbers] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_recalled_numbers_are_unverified():
    assert not find_published("dm", "mnist", 10, "convnet-d3", "dsa").is_verified
    assert find_published("dm", "cifar10", 10, "convnet-d3", "dsa").is_verified


def test_caveats_follow_the_source():
    assert find_published("dm", "cifar10", 10, "convnet-d3", "dsa").shown.caveats == (published.CAVEATS["dc-hard"],)
    assert len(find_published("full_real", "cifar10", None, "convnet-d3", "dsa").shown.caveats) == 2


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ({**ENTRY, "colour": "red"}, "colour"),
        ({key: value for key, value in ENTRY.items() if key != "source"}, "source"),
        ({**ENTRY, "kind": "hearsay"}, "kind"),
        ({**ENTRY, "value": -1.0}, "value"),
        ({**ENTRY, "value": "48.9"}, "value"),
        ({**ENTRY, "ipc": "ten"}, "ipc"),
    ],
)
def test_a_bad_entry_is_named_with_its_file(tmp_path, entry, word):
    path = write(tmp_path, ENTRY, entry)
    with pytest.raises(BadInputError, match=word) as caught:
        load_published(path)
    message = str(caught.value)
    assert str(path) in message
    assert "claim 2 (dm, cifar10" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["claim = [1]", "title = 'x'", "[[claim", "[[claim]]\nx = 1\n[other]\ny = 2"])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    path = tmp_path / "odd.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=r"odd\.toml"):
        load_published(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataMissingError, match=r"nowhere\.toml"):
        load_published(tmp_path / "nowhere.toml")
