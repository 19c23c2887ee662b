"""Tests of the diffusion transformer as a method: the plain loss, and which settings it has."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.method import config_of, make_method
from ddbench.runs.distill import distill

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_defaults_are_those_of_the_paper_for_ten_imagenet_classes():
    config = {name: value for name, value in config_of(make_method("dit")).items() if not name.startswith("scratch_")}
    assert config == {
        "backbone": "facebook/DiT-XL-2-256",
        "vae": "stabilityai/sd-vae-ft-mse",
        "precision": "fp32",
        "steps": 12_000,
        "batch_size": 8,
        "batch_parts": 1,
        "devices": 1,
        "lr": 1e-3,
        "ema_decay": None,
        "trainable": "difffit",
        "classes_per_phase": 10,
        "sampler": "ddpm",
        "sampling_steps": 50,
        "guidance": 4.0,
        "sampling_batch_size": 32,
    }


def test_fine_tuned_weights_depend_on_all_settings_but_those_of_sampling():
    later = {"sampler", "sampling_steps", "guidance", "sampling_batch_size"}
    assert set(make_method("dit").prepare_ignores) == later


def test_no_criterion_is_part_of_the_loss():
    plan = make_method("dit").plan(load_dataset("digits").train)
    assert plan.representativeness_weight == plan.diversity_weight == 0


@pytest.mark.parametrize("settings", [{}, {"steps": 6, "batch_parts": 2, "trainable": "full"}], ids=["small", "parts"])
def test_it_is_minimax_without_criteria_bit_for_bit(settings):
    settings = {**make_method("dit").smoke_settings, **settings}
    off = {"representativeness_weight": 0.0, "diversity_weight": 0.0}
    dit = distill("dit", "digits", 2, 3, settings, "cpu")
    minimax = distill("minimax", "digits", 2, 3, {**settings, **off}, "cpu")
    assert torch.equal(dit.images, minimax.images)
    assert not torch.equal(dit.images, distill("dit", "digits", 2, 3, {**settings, "steps": 0}, "cpu").images)
