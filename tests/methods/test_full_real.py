"""Tests of the whole real training split as a set."""

from __future__ import annotations

from dataclasses import replace

import torch

from ddbench.method import make_method


def test_the_set_is_every_training_image_in_stored_order(toy, context):
    distilled = make_method("full_real").distill(toy, 1, context)
    assert torch.equal(distilled.images, toy.images)
    assert torch.equal(distilled.labels, toy.labels)
    assert (distilled.ipc, distilled.space, distilled.num_classes) == (None, "pixels", 3)


def test_ipc_and_seed_change_nothing(toy, context):
    method = make_method("full_real")
    first = method.distill(toy, 1, context)
    other = method.distill(toy, 999, replace(context, generator=torch.Generator().manual_seed(77)))
    assert torch.equal(first.images, other.images)
    assert method.unsupported(toy, 10**6) is None


def test_changing_the_set_does_not_change_the_training_data(toy, context):
    before = toy.images.clone()
    make_method("full_real").distill(toy, 1, context).images.zero_()
    assert torch.equal(toy.images, before)
