"""Tests of the settings of trajectory matching."""

from __future__ import annotations

import pytest

from ddbench.errors import BadInputError
from ddbench.method import config_of, make_method


def test_the_defaults_are_those_of_cifar10_at_one_image_per_class():
    assert config_of(make_method("mtt")) == {
        "network": "convnet-d3",
        "zca": True,
        "num_experts": 100,
        "trajectory_epochs": 50,
        "trajectory_lr": 0.01,
        "trajectory_batch_size": 256,
        "stored_precision": "fp32",
        "steps": 5000,
        "syn_steps": 50,
        "syn_batch_size": None,
        "expert_epochs": 2,
        "max_start_epoch": 2,
        "image_lr": 100.0,
        "image_momentum": 0.5,
        "start_lr": 0.01,
        "lr_lr": 1e-7,
        "lr_momentum": 0.5,
        "min_student_lr": 1e-5,
        "max_student_lr": 1.0,
        "gradient": "adjoint",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"trajectory_epochs": 3, "expert_epochs": 2, "max_start_epoch": 2},
            r"mtt: trajectory_epochs must be at least max_start_epoch \+ expert_epochs = 4, got 3; train experts for",
        ),
        ({"start_lr": 2.0}, "start_lr must lie between min_student_lr and max_student_lr, 1e-05 to 1.0, got 2.0"),
        ({"start_lr": 1e-6}, "start_lr must lie between .* got 1e-06"),
        ({"min_student_lr": 0.1, "max_student_lr": 0.001}, "start_lr must lie between .* 0.1 to 0.001, got 0.01"),
        ({"gradient": "exact"}, "gradient cannot be 'exact'"),
        ({"syn_batch_size": 0}, "syn_batch_size cannot be 0"),
        ({"steps": 0}, "steps cannot be 0"),
        ({"image_lr": -1.0}, "image_lr cannot be -1.0"),
        ({"num_experts": 0}, "num_experts cannot be 0"),
        ({"stored_precision": "fp16"}, "stored_precision cannot be 'fp16'"),
        ({"syn_step": 3}, "syn_steps"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings, message):
    with pytest.raises(BadInputError, match=message) as caught:
        make_method("mtt", settings)
    assert "\n" not in str(caught.value)
