"""Tests of several teachers: each kept by itself, shared with methods that have it alone, billed as one."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from ddbench import distill
from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError, DDBenchError, UnknownNameError
from ddbench.host.files import sha256_of
from ddbench.method import RunContext, config_of, make_method
from ddbench.methods._teacher.several import load_teachers
from ddbench.runs.preparation import foundation_keys, make_foundations, prepared_key
from ddbench.work import TRAINING
from tests._weights import lively, toy_subset

CPU = torch.device("cpu")
NETWORKS = ["convnet-d1-w8-bn", "convnet-d1-w4"]
SETTINGS = {"teacher_epochs": 1, "teacher_lr": 0.05}


@pytest.fixture(scope="module")
def train():
    return load_dataset("digits").train


def several(networks=NETWORKS, **changes):
    return make_method("g_vbsm", {"teacher_networks": networks, **SETTINGS, **changes})


def alone(network):
    return make_method("sre2l", {"teacher_network": network, **SETTINGS})


def test_each_is_the_teacher_of_methods_that_have_it_alone(train):
    keys = foundation_keys(several(), train)
    assert [key.digest for key in keys] == [foundation_keys(alone(name), train)[0].digest for name in NETWORKS]
    assert keys == foundation_keys(several(steps=7), train)
    assert foundation_keys(several(NETWORKS[::-1]), train) == keys[::-1]


def test_one_that_another_method_has_trained_is_not_trained_again_and_all_are_one_account(train, tmp_path, own_cache):
    ctx = RunContext(CPU, torch.Generator(), tmp_path)
    (folder,), earlier = make_foundations(alone(NETWORKS[0]), train, ctx)
    folders, phase = make_foundations(several(), train, ctx)
    assert folders[0] == folder
    assert folders[1] != folder
    assert len(list(own_cache.glob("foundations/teacher-*/"))) == 2
    assert not phase.cached
    again, kept = make_foundations(several(), train, ctx)
    assert again == folders
    assert kept.cached
    assert kept.reading.seconds == pytest.approx(phase.reading.seconds)
    assert kept.reading.seconds > earlier.reading.seconds
    teachers = load_teachers(several().config, train, RunContext(CPU, torch.Generator(), tmp_path, foundations=folders))
    assert [teacher.embed(torch.zeros(2, 1, 8, 8)).shape[1] for teacher in teachers] == [8 * 16, 4 * 16]
    assert not any(teacher.training for teacher in teachers)


def test_what_is_prepared_depends_on_each_and_on_their_order(train):
    changes = [{}, {"networks": NETWORKS[::-1]}, {"networks": NETWORKS[:1]}, {"teacher_lr": 0.1}, {"cell_side": 2}]
    digests = [prepared_key("g_vbsm", several(**change), train, 0).digest for change in changes]
    assert len(set(digests)) == len(changes)
    assert prepared_key("g_vbsm", several(steps=9, roll=1), train, 0).digest == digests[0]


def test_without_the_runner_there_are_none(train, tmp_path):
    with pytest.raises(RuntimeError, match="the teachers are foundations"):
        load_teachers(several().config, train, RunContext(CPU, torch.Generator(), tmp_path))


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "setting teacher_networks cannot be list: Tuple should have at least 1 item"),
        (["convnet-d1", "convnet-d1"], "method g_vbsm: teacher_networks names convnet-d1 twice; name each once"),
        ("convnet-d1", "setting teacher_networks cannot be .*: Input should be a valid tuple"),
        ([1], "setting teacher_networks.0 cannot be .*: Input should be a valid string"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_one_line(networks, message):
    with pytest.raises(BadInputError, match=message) as caught:
        several(networks)
    assert "\n" not in str(caught.value)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Files of published weights by name, for images of ImageNet."""
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path))
    (tmp_path / "torchvision").mkdir()
    paths = {}
    for number, model in enumerate((models.shufflenet_v2_x0_5(), models.mnasnet0_5())):
        name = f"torchvision/{('shufflenet_v2_x0_5', 'mnasnet0_5')[number]}"
        paths[f"{name}.IMAGENET1K_V1"] = tmp_path / f"{name}.IMAGENET1K_V1.pth"
        torch.save(lively(model, seed=number).state_dict(), paths[f"{name}.IMAGENET1K_V1"])
    return paths


def test_published_weights_take_the_place_of_trained_ones(weights, own_cache):
    settings = {"teachers": list(weights), "steps": 2, "cell_side": 16}
    made = distill("g_vbsm", toy_subset(), 1, 0, settings, "cpu")
    expected = [{"weights": name, "sha256": sha256_of(path)} for name, path in weights.items()]
    assert made.provenance["engine"]["teachers"] == expected
    method, train = make_method("g_vbsm", settings), toy_subset().train
    assert {passes.network for passes in method.work(train, 1).distill.passes} == {
        name.removesuffix(".IMAGENET1K_V1") for name in weights
    }
    assert all(passes.cost != TRAINING for passes in method.work(train, 1).prepare.passes)
    (shared,) = foundation_keys(make_method("sre2l", {"teacher": next(iter(weights))}), train)
    assert foundation_keys(method, train)[0].digest == shared.digest
    assert "teachers" not in config_of(several())


def test_weights_that_are_not_here_or_cannot_be_are_told_in_one_line(train, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    missing = make_method("g_vbsm", {"teachers": [*weights, "torchvision/resnet18"]})
    assert "no weights torchvision/resnet18" in missing.unsupported(toy_subset().train, 1)
    for teachers, message in (
        (["torchvision/mnasnet0_5", "torchvision/mnasnet0_5.IMAGENET1K_V1"], "names .* twice; name each once"),
        (["trained"], "teachers names published weights, got trained; name networks by teacher_networks"),
        (["torchvision/resnet19"], "torchvision has no model 'resnet19'"),
        ("torchvision/resnet18", r"valid tuple; write a list, teachers=\[torchvision/resnet18\]"),
    ):
        with pytest.raises(DDBenchError, match=message) as caught:
            make_method("g_vbsm", {"teachers": teachers})
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInputError, match="teacher_networks has no use with published weights, which teachers names"):
        several(teachers=list(weights))


def test_a_network_that_is_none_is_named(train):
    with pytest.raises(UnknownNameError, match="unknown network 'convmet'; did you mean convnet"):
        several(["convmet"]).unsupported(train, 1)
    assert "mlp has no conv of maps" in several(["convnet-d1", "mlp"]).unsupported(train, 1)
