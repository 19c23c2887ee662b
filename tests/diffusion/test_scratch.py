"""Tests of backbones trained on the data set itself."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench import distill
from ddbench.diffusion.foundation import BackboneConfig
from ddbench.diffusion.scratch import HELD_OUT_SHARE, hold_out, recipe_for

QUICK = {"backbone": "scratch", "vae": "none", "steps": 0, "sampling_steps": 3, "scratch_steps": 3}
QUICK |= {"scratch_width": 16, "scratch_depth": 2, "scratch_heads": 2}


@pytest.mark.parametrize(
    ("side", "patch"), [(7, 7), (8, 8), (12, 12), (28, 4), (32, 4), (64, 8), (224, 32), (29, 1), (45, 5)]
)
def test_a_side_has_a_patch_that_divides_it(side, patch):
    assert recipe_for(side).patch_size == patch
    assert side % patch == 0


def test_what_is_given_takes_the_place_of_what_suits():
    config = BackboneConfig(scratch_width=64, scratch_steps=7)
    recipe = config.recipe(8)
    assert (recipe.width, recipe.steps) == (64, 7)
    assert recipe == recipe_for(8).with_given({"width": 64, "steps": 7, "lr": None})


@given(counts=st.lists(st.integers(1, 70), min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_each_class_keeps_its_share_and_no_image_is_on_both_sides(counts, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    kept, held = hold_out(labels, torch.Generator().manual_seed(seed))
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert set(labels[kept].tolist()) == set(range(len(counts)))  # no class goes untrained
    assert len(held) or max(counts) == 1
    found = Counter(labels[held].tolist())
    if any(round(HELD_OUT_SHARE * count) for count in counts):
        assert all(found[label] == round(HELD_OUT_SHARE * count) for label, count in enumerate(counts))


@pytest.mark.usefixtures("own_cache")
def test_quality_stands_with_the_set_and_a_poor_backbone_is_told():
    with pytest.warns(UserWarning, match="poor backbone: "):
        made = distill("dit", "digits", 2, config=QUICK, device="cpu")
    found = made.provenance["engine"]["backbone"]
    assert found["trained"] == {
        "patch_size": 8, "width": 16, "depth": 2, "heads": 2, "steps": 3, "batch_size": 128, "lr": 2e-3,
        "precision": "fp32",
    }  # fmt: skip
    assert {"precision", "coverage", "coverage_of_real", "frechet_distance", "loss", "held_out_loss"} <= set(found)
    with pytest.warns(UserWarning, match="poor backbone: "):  # of every set that is drawn from it
        assert distill("dit", "digits", 2, 1, QUICK, "cpu").provenance["engine"]["backbone"] == found
