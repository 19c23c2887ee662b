"""Tests of the teacher that methods share."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.errors import DivergenceError
from ddbench.method import RunContext, make_method
from ddbench.methods._teacher.foundation import load_teacher
from ddbench.runs.preparation import foundation_keys, make_foundations
from ddbench.students.loop import measure_accuracy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def train():
    return load_dataset("digits").train


def test_methods_seeds_and_other_settings_share_one_teacher(train):
    methods = [
        make_method("rded", {"crops": 2, "teacher_network": "convnet-d1-w8-bn"}),
        make_method("sre2l", {"steps": 7, "teacher_network": "convnet-d1-w8-bn"}),
    ]
    assert len({key.digest for method in methods for key in foundation_keys(method, train)}) == 1
    other = make_method("rded", {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 3})
    assert foundation_keys(other, train)[0].digest != foundation_keys(methods[0], train)[0].digest


def test_it_has_learnt_the_classes_and_stays_as_it_is(train, tmp_path, own_cache):
    method = make_method("rded", {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 3, "teacher_lr": 0.05})
    ctx = RunContext(CPU, torch.Generator().manual_seed(0), tmp_path)
    (folder,), phase = make_foundations(method, train, ctx)
    (again,), kept = make_foundations(method, train, ctx)
    assert folder == again
    assert not phase.cached
    assert kept.cached
    teacher = load_teacher(method.config, train, RunContext(CPU, torch.Generator(), tmp_path, foundation=folder))
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert measure_accuracy(teacher, train, CPU) > 0.8


def test_one_that_diverged_is_told_and_not_kept(train, tmp_path, own_cache):
    settings = {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 2, "teacher_lr": 1e30}
    method, ctx = make_method("rded", settings), RunContext(CPU, torch.Generator().manual_seed(0), tmp_path)
    for _ in range(2):
        with pytest.raises(DivergenceError, match=r"convnet-d1-w8-bn diverged.*; lower teacher_lr, which is 1e\+30"):
            make_foundations(method, train, ctx, checkpoint_seconds=0.0)
    assert not list(own_cache.rglob("*.safetensors"))


def test_without_the_runner_there_is_none(train, tmp_path):
    with pytest.raises(RuntimeError, match="the teacher is a foundation"):
        load_teacher(make_method("rded").config, train, RunContext(CPU, torch.Generator(), tmp_path))
