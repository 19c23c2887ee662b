"""Tests of the choice of a method's teacher."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from ddbench import distill
from ddbench.errors import BadInputError, UnknownNameError, UnsupportedError
from ddbench.host.files import sha256_of
from ddbench.method import RunContext, config_of, make_method
from ddbench.methods._teacher.foundation import TeacherMethod
from ddbench.runs.preparation import foundation_keys, make_foundations
from tests._weights import BIRDS, IMAGENET, OTHER, lively, toy_subset

pytestmark = pytest.mark.usefixtures("own_cache")

CPU = torch.device("cpu")
NAME = "torchvision/shufflenet_v2_x0_5"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The file of published weights, and the model that they are of."""
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path))
    path = tmp_path / "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth"
    path.parent.mkdir()
    model = lively(models.shufflenet_v2_x0_5())
    torch.save(model.state_dict(), path)
    return path, model


@pytest.mark.parametrize("name", ["rded", "sre2l"])
def test_a_teacher_that_is_trained_is_what_it_was_before_there_was_a_choice(name):
    method, train = make_method(name), toy_subset().train
    assert "teacher" not in config_of(method)
    assert method.foundation().settings == TeacherMethod.foundation(method).settings
    assert method.foundation().settings.keys() == {
        "teacher_network",
        "teacher_epochs",
        "teacher_lr",
        "teacher_batch_size",
    }
    assert method.foundation().fill.__module__ == "ddbench.methods._teacher.foundation"
    assert method.teacher_unsupported(train) is None
    assert method.preparing(train).passes == (method.training(train),)


@torch.no_grad()
def test_the_teacher_gives_the_models_logits_on_the_data_sets_images(weights, tmp_path):
    _, model = weights
    real = toy_subset(normalised=OTHER)
    method = make_method("rded", {"teacher": NAME})
    ctx = RunContext(CPU, torch.Generator().manual_seed(0), tmp_path / "scratch")
    (folder,), phase = make_foundations(method, real.train, ctx)
    teacher = method.load_teacher(real.train, RunContext(CPU, torch.Generator(), tmp_path, foundation=folder))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    expected = model((real.train.images.float() / 255 - mean) / std)[:, list(BIRDS.values())]
    torch.testing.assert_close(teacher(real.info.normalise(real.train.images)), expected, rtol=1e-4, atol=1e-4)
    assert (teacher.training, phase.name) == (False, "prepare")
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_other_bytes_under_one_name_are_another_teacher(weights):
    path, model = weights
    method, train = make_method("rded", {"teacher": NAME}), toy_subset().train
    (first,) = foundation_keys(method, train)
    (same,) = foundation_keys(make_method("sre2l", {"teacher": f"{NAME}.IMAGENET1K_V1"}), train)
    torch.save(lively(model, seed=3).state_dict(), path)
    (other,) = foundation_keys(method, train)
    assert first.digest == same.digest != other.digest


@pytest.mark.parametrize(("name", "settings"), [("rded", {}), ("sre2l", {"steps": 2})])
def test_sets_are_made_with_it_and_say_which_it_was(name, settings, weights):
    path, _ = weights
    made = distill(name, toy_subset(), 1, 0, {"teacher": NAME, **settings}, "cpu")
    expected = {"weights": f"{NAME}.IMAGENET1K_V1", "sha256": sha256_of(path)}
    assert made.provenance["engine"]["teacher"] == expected
    assert made.provenance["config"]["teacher"] == NAME
    work = make_method(name, {"teacher": NAME}).work(toy_subset().train, 1)
    assert work.prepare.passes == ()
    assert {passes.network for passes in work.distill.passes} == {NAME}


def test_names_that_nobody_publishes_are_refused_at_once():
    with pytest.raises(UnknownNameError, match="torchvision has no model 'resnet19'; did you mean"):
        make_method("rded", {"teacher": "torchvision/resnet19"})
    with pytest.raises((BadInputError, UnknownNameError), match="torchvision/NAME or timm/NAME, got 'resnet18'"):
        make_method("rded", {"teacher": "resnet18"})
    with pytest.raises(BadInputError, match="teacher_epochs has no use with published weights, which teacher names"):
        make_method("rded", {"teacher": NAME, "teacher_epochs": 3})


@pytest.mark.parametrize(
    ("teacher", "changes", "message"),
    [
        ("torchvision/resnet18", {}, "no weights torchvision/resnet18.IMAGENET1K_V1 on this machine: put resnet18-"),
        (NAME, {"ids": ("n01440764", "n1", "n02102040")}, "class n1 of toy is not one of ImageNet's 1,000"),
        (NAME, {"channels": 1}, "takes images of 3 channels, toy has 1"),
        (NAME, {"ids": ()}, "the classes of toy have no WordNet ids"),
    ],
)
def test_what_the_weights_are_not_for_is_a_reason(teacher, changes, message, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    real = toy_subset(**changes)
    assert message in make_method("sre2l", {"teacher": teacher}).unsupported(real.train, 1)
    with pytest.raises(UnsupportedError) as caught:
        distill("rded", real, 1, 0, {"teacher": teacher}, "cpu")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
