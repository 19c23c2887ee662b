"""Protocols of papers, constant by constant, against values worked out by hand from their authors' programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ddbench.dataset import make_real_dataset
from ddbench.method import untracked
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS
from ddbench.students.loop import TrainingPlan
from ddbench.students.margin import with_margin
from ddbench.students.optimiser import make_optimiser
from tests._toy import INFO

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "published_protocols.json").read_text(encoding="utf-8"))
PUBLISHED = pytest.mark.parametrize("name", GOLDEN)


def plan_of(name, ipc=10, classes=10, side=32, network=""):
    info = replace(INFO, name="any", class_names=tuple(map(str, range(classes))), class_ids=(), image_size=side)
    return TrainingPlan.of(PROTOCOLS.get(name), info, ipc, network=network)


@PUBLISHED
def test_the_rate_follows_the_authors_curve(name):
    plan, rates = plan_of(name), []
    for epoch, changed in plan.epochs(untracked, ""):
        assert changed == (None if changed is None else plan.rate_at(epoch))
        rates.append(plan.rate_at(epoch))
    assert len(rates) == GOLDEN[name]["epochs"]
    found = {epoch: rates[int(epoch)] for epoch in GOLDEN[name]["lr_at"]}
    assert found == pytest.approx(GOLDEN[name]["lr_at"], rel=1e-9)


@PUBLISHED
def test_networks_begin_at_the_authors_rates(name):
    expected = GOLDEN[name]["lr_of"]
    assert {network: plan_of(name, network=network).lr for network in expected} == expected


@PUBLISHED
def test_batches_have_the_authors_sizes(name):
    expected = GOLDEN[name]["batches"]
    assert [[ipc, classes, plan_of(name, ipc, classes).batch_size] for ipc, classes, _ in expected] == expected
    parts = GOLDEN[name]["parts"]
    assert plan_of(name).part == (None if parts == 1 else plan_of(name).batch_size // parts)


@PUBLISHED
def test_the_optimiser_and_what_decays_are_the_authors(name):
    expected, plan = GOLDEN[name], plan_of(name)
    network = make_network("convnet-d2-w4-bn", InputShape(3, 8, 5), torch.Generator().manual_seed(0))
    optimiser = make_optimiser(network, plan, plan.lr)
    assert type(optimiser).__name__.lower() == expected["optimiser"]
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    is_weight = {n: n.endswith("weight") and p.ndim > 1 for n, p in network.named_parameters()}
    assert sum(is_weight.values()) == 3
    for parameter_name, parameter in network.named_parameters():
        decays = expected["decays"] == "all" or is_weight[parameter_name]
        assert decay[id(parameter)] == (expected["weight_decay"] if decays else 0), parameter_name


@PUBLISHED
def test_images_are_augmented_as_the_authors_do(name):
    expected = GOLDEN[name]
    for side, area in expected["crop_area"].items():
        augmentation = plan_of(name, side=int(side)).image_augmentation
        assert list(augmentation.crop_area) == area
        assert augmentation.grid == expected["grid"][side]
        assert augmentation.padding == expected["padding"]
        assert (augmentation.flip, augmentation.jitter, augmentation.lighting) == (0.5, 0, 0)
    plan = plan_of(name)
    assert (plan.cutmix and [plan.cutmix.probability, plan.cutmix.beta]) == expected["cutmix"]
    assert (plan.mixup and plan.mixup.alpha) == expected["mixup"]


@PUBLISHED
def test_the_loss_is_the_authors(name):
    teacher, expected = PROTOCOLS.get(name).teacher, GOLDEN[name]
    found = (None,) * 3 if teacher is None else (teacher.loss, teacher.temperature, teacher.ce_weight)
    assert found == (expected["loss"], expected["temperature"], expected["ce_weight"])


@pytest.mark.parametrize("name", [name for name, entry in GOLDEN.items() if entry["tested"] is not None])
def test_the_best_is_of_the_tests_that_the_authors_make(name):
    tested, plan = GOLDEN[name]["tested"], plan_of(name)
    assert [epoch for epoch in range(plan.schedule.epochs) if plan.best_of.includes(epoch, plan.schedule.epochs)] == (
        tested
    )
    assert plan.tests == len(tested)


@PUBLISHED
def test_test_images_are_scaled_as_the_authors_do(name):
    for side, wide in GOLDEN[name]["test_side"].items():
        split = torch.zeros(2, 1, int(side), int(side), dtype=torch.uint8), torch.tensor([0, 1])
        real = make_real_dataset("noise", split, split, class_names=("a", "b"), mean=(0.5,), std=(0.2,))
        seen = with_margin(real.test) if PROTOCOLS.get(name).test_margin else real.test
        source = getattr(seen.images, "source", seen.images)
        assert source.shape[-1] == wide
        assert seen.images.shape[-1] == int(side)


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("edc", ["resnet18-bn", "mobilenet_v2", "shufflenet_v2_x0_5", "alexnet"]),
        ("gvbsm", ["resnet18-bn", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5"]),
    ],
)
def test_four_teachers_give_labels_as_the_authors_do(name, networks):
    members = PROTOCOLS.get(name).teacher.members
    assert [member.network.removeprefix("torchvision/") for member in members] == networks


def test_students_of_edc_are_tested_with_the_average_of_their_weights():
    assert plan_of("edc").average == 0.99
    assert all(plan_of(name).average == 0 for name in GOLDEN if name != "edc")


def test_no_flips_for_what_may_not_be_mirrored():
    info = replace(INFO, may_be_mirrored=False)
    for name in GOLDEN:
        augmentation = TrainingPlan.of(PROTOCOLS.get(name), info, 1).image_augmentation
        assert augmentation is None or augmentation.flip == 0
