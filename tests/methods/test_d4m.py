"""Tests of D4M: images that are drawn from the centres of clusters."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.method import make_method
from ddbench.runs.distill import distill

SMOKE = {**make_method("d4m").smoke_settings, "sampling_steps": 10}


@pytest.mark.usefixtures("own_cache")
def test_the_less_strength_the_nearer_images_stay_to_their_centres():
    real = load_dataset("digits")

    def spread(strength: float) -> float:
        """Mean distance of the images of each class from its mean image, in shades."""
        made = distill("d4m", real, 1, config={**SMOKE, "guidance": 1.0, "strength": strength})
        means = torch.stack([real.train.pixels(real.train.of_class(label)).float().mean(0) for label in range(10)])
        return float((made.images.float() - means).abs().mean())

    near, far = spread(0.1), spread(1.0)
    assert near < 5 < far


@pytest.mark.usefixtures("own_cache")
def test_seeds_give_other_images_and_the_same_seed_the_same():
    first, again, other = (distill("d4m", "digits", 2, seed=seed, config=SMOKE).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_as_many_centres_as_a_class_has_images_and_no_more():
    train = load_dataset("digits").train
    smallest = int(train.class_counts().min())
    assert make_method("d4m", SMOKE).unsupported(train, smallest) is None
    assert f"ipc must be 1..{smallest}" in make_method("d4m", SMOKE).unsupported(train, smallest + 1)
