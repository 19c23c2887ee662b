"""Tests of several teachers: each kept by itself, shared with methods that have it alone, billed as one."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.method import RunContext, make_method
from ddbench.methods._teacher.several import load_teachers
from ddbench.runs.preparation import foundation_keys, make_foundation, make_foundations, prepared_key

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
    folder, earlier = make_foundation(alone(NETWORKS[0]), train, ctx)
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


def test_a_network_that_is_none_is_named(train):
    with pytest.raises(UnknownNameError, match="unknown network 'convmet'; did you mean convnet"):
        several(["convmet"]).unsupported(train, 1)
    assert "mlp has no conv of maps" in several(["convnet-d1", "mlp"]).unsupported(train, 1)
