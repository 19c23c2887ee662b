"""Tests of state dicts as they are in the field: names, wrappings, formats, and what is refused."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network
from ddbench.pretrained.state_dict import find_head, misfit, read_state_dict, rename
from tests._weights import lively

SHAPE = InputShape(3, 32, 3)
NAMES = ("torchvision/resnet18", "timm/resnet18")


@pytest.fixture(scope="module")
def model():
    return lively(models.resnet18(num_classes=3))


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def network_of(name):
    return make_network(name, SHAPE, torch.Generator().manual_seed(7)).eval()


def load(name, state):
    network = network_of(name)
    network.load_state_dict(rename(state, network))
    return network


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod.module."])
def test_one_state_dict_gives_equal_logits_in_both_libraries_behind_any_prefix(name, prefix, model, images):
    network = load(name, prefixed(model.state_dict(), prefix))
    torch.testing.assert_close(network(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "convnet-d1-w8-bn"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_our_own_names_are_known(name, prefix, images):
    saved = lively(network_of(name))
    network = load(name, prefixed(saved.state_dict(), prefix))
    assert torch.equal(network(images), saved(images))


@pytest.mark.parametrize("name", NAMES)
def test_old_files_without_counters_and_half_precision_are_taken(name, model, images):
    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert torch.equal(load(name, state)(images), load(name, model.state_dict())(images))
    halves = load(name, {key: value.half() for key, value in state.items()}).state_dict()
    assert {value.dtype for value in halves.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("wrapping", ["", "state_dict", "model", "model_state_dict", "net"])
def test_every_format_holds_the_same(wrapping, model, tmp_path):
    state = model.state_dict()
    settings = {"args": argparse.Namespace(lr=0.1), "optimizer": {"step": 3}, "epoch": 5}
    torch.save({wrapping: state, **settings} if wrapping else state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.pth", tmp_path / "w.safetensors"):
        found = read_state_dict(path, "teacher file")
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], value) for name, value in state.items())


class Code:
    """Something whose file says what to call on loading."""

    def __reduce__(self):
        return print, ("this must not run",)


def write_bad(kind, path):
    whole = path.with_name("whole.pth")
    torch.save({"a": torch.zeros(1000)}, whole)
    match kind:
        case "code":
            torch.save({"a": Code()}, path)
        case "module":
            torch.save(torch.nn.Linear(2, 2), path)
        case "cut":
            path.write_bytes(whole.read_bytes()[:2000])
        case "numbers":
            torch.save({"a": 1.0}, path)
        case "empty":
            torch.save({}, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("code", "holds Python code .* that would run on loading"),
        ("module", "holds Python code .* that would run on loading; save its state dict alone"),
        ("cut", "is damaged or not a PyTorch file"),
        ("numbers", "holds no state dict of tensors"),
        ("empty", "holds no state dict of tensors"),
        ("missing", "does not exist; check the path"),
    ],
)
def test_bad_files_are_told_in_one_line_and_nothing_runs(kind, message, tmp_path, capsys):
    write_bad(kind, tmp_path / "bad.pth")
    with pytest.raises(BadInputError, match=message) as caught:
        read_state_dict(tmp_path / "bad.pth", "teacher file")
    assert "\n" not in str(caught.value)
    assert "must not run" not in capsys.readouterr().out


def test_a_safetensors_file_that_is_cut_off_is_told(tmp_path):
    save_file({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:900])
    with pytest.raises(BadInputError, match="is damaged or not a safetensors file"):
        read_state_dict(tmp_path / "w.safetensors", "teacher file")


def test_a_head_is_found_where_its_classes_are_all_that_differs():
    expected = {"a.weight": torch.zeros(3, 4), "a.bias": torch.zeros(3), "b.weight": torch.zeros(3, 4)}
    head = {"a.weight": torch.zeros(9, 4), "a.bias": torch.zeros(9)}
    assert find_head({**expected, **head}, expected, 3) == ["a.weight", "a.bias"]
    assert find_head(expected, expected, 3) == []
    for other in (
        {"a.weight": torch.zeros(9, 4)},  # half of the layer
        {"a.weight": torch.zeros(9, 5), "a.bias": torch.zeros(9)},  # of other features
        {**head, "b.weight": torch.zeros(9, 4)},  # two layers
        {"a.weight": torch.zeros(9, 4), "a.bias": torch.zeros(8)},
    ):
        assert find_head({**expected, **other}, expected, 3) == []
    assert find_head({**expected, **head}, expected, 5) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": None}, "it lacks a"),
        ({"c": torch.zeros(1), "d": torch.zeros(1)}, "it has an unknown c and 1 more"),
        ({"a": torch.zeros(3)}, r"a should be (2,), found (3,)"),
        ({"b": torch.zeros(1)}, "b should be torch.int64, found torch.float32"),
        ({"a": torch.tensor([1.0, float("inf")])}, "a holds NaN or infinite values"),
        ({}, ""),
    ],
)
def test_the_first_thing_that_does_not_fit_is_told(changes, message):
    expected = {"a": torch.zeros(2), "b": torch.zeros(1, dtype=torch.int64)}
    found = {name: value for name, value in {**expected, **changes}.items() if value is not None}
    assert misfit(found, expected) == message


def test_nothing_at_all_is_told_and_not_looked_through_for_ever():
    network = network_of(NAMES[0])
    assert misfit(rename({}, network), network.state_dict()) == "it lacks classifier.bias and 101 more"
