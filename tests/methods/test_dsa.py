"""Tests of `dsa`: start from real images, Siamese draws, whole iterations against a plain loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.augment.dsa import draw_dsa, dsa_augment
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.method import make_method
from ddbench.methods._gradient_matching import iteration
from ddbench.methods.dsa import SiameseAugmentation
from tests.methods._naive_matching import SMALL, draw_real, naive_matching, seeded


def real_start(toy, ipc):
    generator = seeded(21)
    return torch.cat([draw_real(toy, label, ipc, generator) for label in range(3)]), generator


@pytest.mark.parametrize(("ipc", "steps", "loops"), [(1, 1, (1, 1)), (1, 3, (1, 1)), (2, 2, (3, 2)), (3, 1, (2, 1))])
def test_whole_iterations_equal_a_plain_loop(ipc, steps, loops, toy, context):
    logged = {}
    settings = {**SMALL, "steps": steps, "outer_loops": loops[0], "inner_epochs": loops[1]}
    watched = replace(context, generator=seeded(21), log=logged.__setitem__)
    distilled = make_method("dsa", settings).distill(toy, ipc, watched)
    start, generator = real_start(toy, ipc)
    expected, losses = naive_matching(toy, start, steps, loops, DSA_STRATEGY, generator)
    torch.testing.assert_close(distilled.images, expected, rtol=1e-4, atol=1e-5)
    assert logged == {"loss[0]": pytest.approx(losses[0], rel=1e-4)}
    assert (distilled.images - start).abs().max() > 1e-3
    assert torch.equal(watched.generator.get_state(), generator.get_state())


@pytest.mark.parametrize("strategy", DSA_STRATEGY.split("_"))
def test_the_gradient_goes_through_every_augmentation(strategy, toy, context, monkeypatch):
    monkeypatch.setattr("ddbench.methods.dsa.dsa_strategy", lambda name: strategy)
    settings = {**SMALL, "steps": 2, "outer_loops": 1}
    distilled = make_method("dsa", settings).distill(toy, 2, replace(context, generator=seeded(21)))
    start, generator = real_start(toy, 2)
    expected, _ = naive_matching(toy, start, 2, (1, 1), strategy, generator)
    torch.testing.assert_close(distilled.images, expected, rtol=1e-4, atol=1e-5)


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
