"""Tests of `dsa`: start from real images, Siamese draws; whole runs: tests/golden/test_gradient_matching.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.augment.dsa import draw_dsa, dsa_augment
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.method import make_method
from ddbench.methods._gradient_matching import iteration
from ddbench.methods.dsa import SiameseAugmentation

SMALL: dict[str, Any] = {"network": "convnet-d1-w8", "real_batch_size": 5, "network_batch_size": 4}


def test_images_start_from_distinct_real_images_of_their_class(toy, context):
    distilled = make_method("dsa", {**SMALL, "steps": 1, "image_lr": 1e-12}).distill(toy, 3, context)
    assert distilled.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    real = toy.normalised()
    found = [int((real - image).abs().flatten(1).amax(1).argmin()) for image in distilled.images]
    torch.testing.assert_close(distilled.images, real[found], rtol=0, atol=1e-6)
    assert toy.labels[found].tolist() == distilled.labels.tolist()
    assert len(set(found)) == 9


def test_more_images_than_the_smallest_class_has_are_refused(toy):
    assert "1..7" in str(make_method("dsa", SMALL).unsupported(toy, 8))
    assert make_method("dsa", SMALL).unsupported(toy, 7) is None


@pytest.mark.parametrize(("mirrored", "expected"), [(True, DSA_STRATEGY), (False, DSA_STRATEGY_NO_FLIP)])
def test_matching_draws_once_per_class_and_training_per_image(mirrored, expected, toy, context, monkeypatch):
    matched, trained = [], []

    def watch_draw(generator, strategy, num_images, *, siamese=False):
        matched.append((strategy, num_images, siamese))
        return draw_dsa(generator, strategy, num_images, siamese=siamese)

    def watch_augment(images, generator, strategy):
        trained.append((strategy, len(images)))
        return dsa_augment(images, generator, strategy)

    monkeypatch.setattr(iteration, "draw_dsa", watch_draw)
    monkeypatch.setattr(iteration, "dsa_augment", watch_augment)
    train = replace(toy, info=replace(toy.info, may_be_mirrored=mirrored))
    settings = {**SMALL, "steps": 2, "outer_loops": 2, "inner_epochs": 1}
    make_method("dsa", settings).distill(train, 2, context)
    assert matched == [(expected, 1, True)] * (2 * 2 * 3)
    assert trained == [(expected, 4), (expected, 2)] * 2


def test_the_loss_decreases_on_digits(digits, context):
    losses = []

    class Logged(SiameseAugmentation):
        def _iterate(self, work):
            losses.append(super()._iterate(work).item())
            return torch.tensor(losses[-1])

    config = SiameseAugmentation.Config(network="convnet-d1-w8", steps=40, real_batch_size=16, image_lr=3.0)
    Logged(config).distill(digits, 1, context)
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])
