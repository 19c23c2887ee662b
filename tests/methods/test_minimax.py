"""Tests of minimax diffusion as a method: its criteria are at work, and its settings are the paper's."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError
from ddbench.method import config_of, make_method
from ddbench.runs.distill import distill

pytestmark = pytest.mark.usefixtures("own_cache")

CRITERIA = {"representativeness_weight": 0.002, "diversity_weight": 0.008, "memory_size": 64}
# A second batch of a class is the first to meet its memory.
SMALL = {**make_method("minimax").smoke_settings, "steps": 4, "batch_size": 32, "ema_decay": 0.0}


def fine_tuned(cache, **settings: object) -> dict[str, torch.Tensor]:
    """The tensors that fine-tuning leaves."""
    before = set(cache.glob("prepared/fine_tuned-*/phase-000.safetensors"))
    distill("minimax", "digits", 1, 0, {**SMALL, **settings}, "cpu")
    (path,) = set(cache.glob("prepared/fine_tuned-*/phase-000.safetensors")) - before
    return load_file(path)


def test_the_settings_are_those_of_dit_and_the_papers_criteria():
    config = config_of(make_method("minimax"))
    assert {name: config[name] for name in CRITERIA} == CRITERIA
    assert config == config_of(make_method("dit")) | CRITERIA


def test_fine_tuned_weights_depend_on_the_criteria():
    assert make_method("minimax").prepare_ignores == make_method("dit").prepare_ignores
    assert not set(CRITERIA) & set(make_method("minimax").prepare_ignores)


def test_the_criteria_reach_the_training():
    settings = {"representativeness_weight": 0.5, "diversity_weight": 0.25, "memory_size": 3, "steps": 9}
    plan = make_method("minimax", settings).plan(load_dataset("digits").train)
    assert {name: getattr(plan, name) for name in settings} == settings


def test_it_differs_from_dit():
    settings = {**SMALL, "lr": 0.05}
    strong = {"representativeness_weight": 5.0, "diversity_weight": 5.0}
    minimax = distill("minimax", "digits", 2, 3, {**settings, **strong}, "cpu")
    assert not torch.equal(minimax.images, distill("dit", "digits", 2, 3, settings, "cpu").images)


@pytest.mark.parametrize("changes", [{"diversity_weight": 0.0}, {"representativeness_weight": 0.0}, {"memory_size": 1}])
def test_every_setting_of_the_criteria_moves_the_weights(changes, own_cache):
    strong = {"representativeness_weight": 1.0, "diversity_weight": 1.0}
    first, second = fine_tuned(own_cache, **strong), fine_tuned(own_cache, **{**strong, **changes})
    assert first.keys() == second.keys()
    assert not all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    "changes", [{"criteria_space": "centred"}, {"criteria_space": "features"}, {"memory_keeps": "first"}]
)
def test_space_and_memory_move_the_weights_and_are_no_part_of_the_keys_of_earlier_results(changes, own_cache):
    strong = {"representativeness_weight": 1.0, "diversity_weight": 1.0, "memory_size": 2}
    first, second = fine_tuned(own_cache, **strong), fine_tuned(own_cache, **strong, **changes)
    assert not all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not set(changes) & set(config_of(make_method("minimax")))
    assert config_of(make_method("minimax", changes)) == config_of(make_method("minimax")) | changes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("representativeness_weight", -1.0),
        ("diversity_weight", float("inf")),
        ("memory_size", 0),
        ("criteria_space", "latent"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(name, value):
    with pytest.raises(BadInputError, match=f"method minimax: setting {name}") as caught:
        make_method("minimax", {name: value})
    assert "\n" not in str(caught.value)


def test_features_of_latents_are_refused(digits):
    method = make_method("minimax", {"criteria_space": "features"})
    assert "compares images, and a VAE's latents are none; use inputs or centred" in (
        method.unsupported(digits, 1) or ""
    )
    assert make_method("minimax", {**SMALL, "criteria_space": "features"}).unsupported(digits, 1) is None
