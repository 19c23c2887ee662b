"""Tests of experts that were prepared: what their files say, and that none of other work or damaged is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddbench.dataset import load_dataset
from ddbench.errors import DataMismatchError
from ddbench.images import LabeledImages
from ddbench.method import RunContext
from ddbench.methods._trajectories.expert_files import expert_path, find_whitening
from ddbench.methods._trajectories.flat_network import flatten_parameters
from ddbench.network import InputShape, make_network
from ddbench.runs.distill import distill
from tests.methods._trajectories._small_experts import SMALL, SPEC, assert_same, make, seeded, trajectory, whole

pytestmark = pytest.mark.usefixtures("own_cache")


def test_files_say_what_they_are_of(prepare, toy):
    folder = prepare(zca=True)
    said = whole(expert_path(folder, 0))[0]
    assert said.pop("of").endswith("/expert-000.safetensors")
    assert len(said.pop("digest")) == 32
    assert said.pop("kept") == "1"
    assert said == {
        "dataset": "toy (toy)",
        "network": SPEC,
        "whitening": find_whitening(folder).hash,
        "epochs": "2",
        "training": f"lr {make().config.trajectory_lr:g}, batches of {make().config.trajectory_batch_size}",
        "parameter count": str(len(flatten_parameters(make_network(SPEC, InputShape.of(toy.info), seeded(0))))),
    }


def load_from(folder: Path, train: LabeledImages, context: RunContext, **settings: object):
    return make(**settings).load_experts(train, replace(context, prepared=folder))


@pytest.mark.parametrize("zca", [False, True], ids=["normalised", "zca"])
def test_prepared_experts_are_loaded_in_order_with_their_whitening(zca, prepare, toy, context):
    folder = prepare(zca=zca)
    experts, whitening = load_from(folder, toy, context, zca=zca)
    assert len(experts) == 2
    for index, expert in enumerate(experts):
        assert torch.equal(expert.parameters(1), trajectory(folder, index)[1])
    assert (whitening is not None) == zca
    assert not zca or whitening.hash == find_whitening(folder).hash


def refusal(folder: Path, train: LabeledImages, context: RunContext, **settings: object) -> str:
    """What loading says against a folder, whose files must be left as they are."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataMismatchError) as caught:
        load_from(folder, train, context, **settings)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_experts_of_other_work_are_refused(prepare, toy, context):
    folder = prepare()
    for info, found in ((replace(toy.info, name="other"), "other"), (replace(toy.info, fingerprint="f2"), "f2")):
        text = refusal(folder, replace(toy, info=info), context)
        assert "is of another dataset: expected " in text
        assert found in text
    assert "is of another network" in refusal(folder, toy, context, network="convnet-d2-w8")
    assert "is of another epochs: expected 3, found 2" in refusal(folder, toy, context, trajectory_epochs=3)
    assert "expert-002.safetensors is missing" in refusal(folder, toy, context, num_experts=3)


def test_experts_of_other_work_that_an_attempt_left_are_trained_again(prepare, toy, context):
    folder = prepare()
    with pytest.warns(UserWarning, match="is of another network: convnet-d1-w8 instead of convnet-d2-w8") as caught:
        prepare(network="convnet-d2-w8")
    assert len(caught) == 2  # a line each
    load_from(folder, toy, context, network="convnet-d2-w8")


@pytest.mark.parametrize("damage", ["flipped", "swapped", "no digest"])
def test_an_expert_that_an_attempt_left_damaged_is_trained_again(damage, prepare):
    folder = prepare()
    first, second = (expert_path(folder, index) for index in range(2))
    before = [trajectory(folder, index).clone() for index in range(2)]  # not mapped: the file is written over
    content = first.read_bytes()
    if damage == "flipped":
        first.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    elif damage == "swapped":
        first.write_bytes(second.read_bytes())
    else:
        save_file({"trajectory": before[0]}, first, metadata={"dataset": "toy (toy)"})
    reason = {"flipped": "is damaged", "swapped": "is of other work", "no digest": "has no digest"}[damage]
    with pytest.warns(UserWarning, match=f"a part of unfinished work is made again: .*expert-000.* {reason}"):
        prepare()
    assert torch.equal(trajectory(folder, 0), before[0])
    assert torch.equal(trajectory(folder, 1), before[1])


def test_missing_and_other_whitenings_are_refused(prepare, toy, context):
    folder = prepare(zca=True)
    assert "is of another whitening: expected none, found " in refusal(folder, toy, context, zca=False)
    next(folder.glob("whitening-*")).unlink()
    assert "the whitening of the experts in" in (text := refusal(folder, toy, context, zca=True))
    assert "is missing" in text
    other = replace(toy, images=toy.images.flip(0))
    other_folder = prepare("other", train=replace(other, images=other.images.div(2).byte()), zca=True)
    moved = next(other_folder.glob("whitening-*"))
    moved.rename(folder / moved.name)
    assert "is of another whitening" in refusal(folder, toy, context, zca=True)


@pytest.mark.parametrize("damage", ["truncated", "missing", "no whitening"])
def test_what_is_damaged_is_made_again_and_nothing_else(damage, own_cache):
    digits = load_dataset("digits")
    settings = {**SMALL, "trajectory_batch_size": 512, "zca": True}

    def run():
        return distill("mtt", digits, 1, 0, settings, "cpu")

    expected = run()
    path = next(own_cache.glob("prepared/experts-digits-*/expert-001.safetensors"))
    content = whole(path)
    other = path.with_name("expert-000.safetensors").stat().st_mtime_ns
    damaged = path if damage != "no whitening" else next(path.parent.glob("whitening-*"))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-4])
    else:
        damaged.unlink()
    with pytest.warns(UserWarning, match=f"is made again: {damaged.name} is missing or altered$"):
        found = run()
    assert torch.equal(found.images, expected.images)
    assert_same(whole(path), content)
    assert path.with_name("expert-000.safetensors").stat().st_mtime_ns == other
    assert torch.equal(run().images, expected.images)  # without a warning
