"""Tests of random real images."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.stats import chisquare

from ddbench.method import make_method


def chosen(toy, context, ipc: int, seed: int) -> torch.Tensor:
    distilled = make_method("random_real").distill(
        toy, ipc, replace(context, generator=torch.Generator().manual_seed(seed))
    )
    indices = torch.tensor(distilled.provenance["selected_indices"])
    assert torch.equal(distilled.images, toy.images[indices])
    assert torch.equal(distilled.labels, toy.labels[indices])
    return indices.view(3, ipc)


def test_images_are_distinct_real_ones_of_their_class_sorted_by_class(toy, context):
    rows = chosen(toy, context, 5, 0)
    for label, row in enumerate(rows):
        assert toy.labels[row].tolist() == [label] * 5
        assert len(set(row.tolist())) == 5


def test_smaller_sets_begin_larger_ones(toy, context):
    for ipc in range(1, 7):
        assert torch.equal(chosen(toy, context, ipc, 4), chosen(toy, context, 7, 4)[:, :ipc])


def test_the_whole_of_the_smallest_class_can_be_taken_and_no_more(toy, context):
    assert sorted(chosen(toy, context, 7, 0)[1].tolist()) == toy.of_class(1).tolist()
    method = make_method("random_real")
    assert method.unsupported(toy, 7) is None
    assert method.unsupported(toy, 8) == "ipc must be 1..7 (the smallest class of toy), got 8"


def test_every_image_is_drawn_equally_often(toy, context):
    counts = torch.zeros(len(toy))
    for seed in range(400):
        counts[chosen(toy, context, 2, seed).flatten()] += 1
    for label in range(3):
        assert chisquare(counts[toy.of_class(label)].numpy()).pvalue > 1e-3


def test_pixels_stay_as_they_are_stored(toy, context):
    distilled = make_method("random_real").distill(toy, 1, context)
    assert (distilled.space, distilled.images.dtype, distilled.student_lr) == ("pixels", torch.uint8, None)
