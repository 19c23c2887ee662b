"""Tests of the whole real training split."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.method import make_method


def test_every_image_is_kept_in_its_order_whatever_the_ipc_and_the_seed(toy, context):
    method = make_method("full_real")
    for ipc, seed in ((1, 0), (50, 1)):
        distilled = method.distill(toy, ipc, replace(context, generator=torch.Generator().manual_seed(seed)))
        assert torch.equal(distilled.images, toy.images)
        assert torch.equal(distilled.labels, toy.labels)
        assert (distilled.ipc, distilled.space, distilled.num_classes) == (None, "pixels", 3)
        assert distilled.images.dtype == torch.uint8


def test_the_set_is_a_copy_that_can_be_changed_without_changing_the_data(toy, context):
    before = toy.images.clone()
    make_method("full_real").distill(toy, 1, context).images.zero_()
    assert torch.equal(toy.images, before)


def test_no_ipc_is_refused(toy):
    assert make_method("full_real").unsupported(toy, 10_000) is None
    assert not make_method("full_real").uses_ipc


def test_images_that_are_not_held_are_not_read(toy, context, tmp_path):
    class Files:
        shape = toy.images.shape

        def __getitem__(self, indices):
            raise AssertionError("images were read")

    whole = make_method("full_real").distill(replace(toy, images=Files()), 1, context)
    assert whole.is_streamed
    assert (whole.images.shape, whole.labels.tolist(), whole.ipc) == (toy.images.shape, toy.labels.tolist(), None)
    assert whole.num_bytes == toy.images.numel() + 8 * len(toy)
    with pytest.raises(BadInputError, match="the real training split itself, too large to hold"):
        whole.save(tmp_path / "set")
