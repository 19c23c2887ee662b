"""Tests of random real images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import RunContext, make_method


def drawn(toy: LabeledImages, context: RunContext, ipc: int, seed: int = 0) -> DistilledDataset:
    return make_method("random_real").distill(toy, ipc, replace(context, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("ipc", [1, 3, 7])
def test_images_are_distinct_real_ones_of_their_class_as_they_are_stored(ipc, toy, context):
    distilled = drawn(toy, context, ipc)
    indices = distilled.provenance["selected_indices"]
    assert len(set(indices)) == 3 * ipc
    assert toy.labels[indices].tolist() == [0] * ipc + [1] * ipc + [2] * ipc == distilled.labels.tolist()
    assert torch.equal(distilled.images, toy.images[indices])
    assert (distilled.images.dtype, distilled.space, distilled.ipc) == (torch.uint8, "pixels", ipc)


def test_smaller_sets_of_a_seed_are_part_of_larger_ones(toy, context):
    chosen = {ipc: drawn(toy, context, ipc).provenance["selected_indices"] for ipc in (2, 6)}
    for label in range(3):
        assert chosen[2][label * 2 : label * 2 + 2] == chosen[6][label * 6 : label * 6 + 2]


def test_same_seed_same_images_other_seed_others(toy, context):
    assert torch.equal(drawn(toy, context, 3).images, drawn(toy, context, 3).images)
    assert not torch.equal(drawn(toy, context, 3).images, drawn(toy, context, 3, seed=1).images)


def test_every_image_of_a_class_is_drawn_equally_often(toy, context):
    first = [drawn(toy, context, 1, seed).provenance["selected_indices"][2] for seed in range(330)]
    counts = [first.count(index) for index in toy.of_class(2).tolist()]
    assert sum(counts) == 330
    assert chisquare(counts).pvalue > 1e-3


def test_more_than_the_smallest_class_has_is_refused(toy):
    method = make_method("random_real")
    assert method.unsupported(toy, 7) is None
    assert method.unsupported(toy, 8) == "ipc must be 1..7 (the smallest class of toy), got 8"
