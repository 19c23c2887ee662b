"""Tensors from callers: freed of what only some operations understand, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.inputs.image_tensors import as_hard_labels, as_laid_out, as_plain

REFUSED = {
    "list": ([1.0], "must be a torch tensor, got list"),
    "numpy": (
        np.zeros((2, 2)),
        "must be a torch tensor, got ndarray of shape .2, 2.; convert it with",
    ),
    "sparse": (torch.eye(2).to_sparse(), "must be a dense tensor, got a torch.sparse_coo one"),
    "meta": (torch.zeros(2, device="meta"), "must be on the CPU or a GPU, got a tensor on meta"),
}


@pytest.mark.parametrize(("value", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_tensor_is_refused(value, words):
    with pytest.raises(BadInputError, match=words):
        as_plain(value, "images")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of how such tensors are made
def test_nested_and_quantised_tensors_are_refused():
    with pytest.raises(BadInputError, match="got a nested one"):
        as_plain(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), "images")
    with pytest.raises(BadInputError, match="got a quantised one"):
        as_plain(torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.quint8), "images")


def test_a_plain_tensor_is_returned_as_it_is():
    tensor = torch.zeros(2, 3)
    assert as_plain(tensor, "images") is tensor
    assert as_plain(tensor.to("meta"), "images", may_be_meta=True).is_meta


def test_gradients_parameters_negative_views_and_inference_are_taken_away():
    learned = torch.nn.Parameter(torch.ones(2))
    assert type(as_plain(learned, "images")) is torch.Tensor
    assert as_plain(learned, "images").data_ptr() == learned.data_ptr()
    negative = torch.tensor([1j, 2j]).conj().imag
    assert as_plain(negative, "images").numpy().tolist() == [-1, -2]
    with torch.inference_mode():
        inferred = torch.ones(2)
    assert not as_plain(inferred, "images").is_inference()
    for tensor in (learned, inferred):
        assert not as_plain(tensor, "images").requires_grad


def test_images_out_of_order_are_copied_and_those_by_channel_last_are_not():
    images = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4)
    last = images.contiguous(memory_format=torch.channels_last)
    assert as_laid_out(images) is images
    assert as_laid_out(last) is last
    turned = images.transpose(2, 3)
    assert as_laid_out(turned).is_contiguous()
    assert torch.equal(as_laid_out(turned), turned)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.arange(3).int(), "must be .3,. int64, got .3,. torch.int32"),
        (torch.arange(2), "must be .3,. int64, got .2,. torch.int64"),
        (torch.zeros(3, 1).long(), "got .3, 1. torch.int64"),
        (torch.tensor([0, 1, 3]), r"must lie in 0\.\.2 .3 classes., got 0\.\.3"),
        (torch.tensor([-1, 1, 2]), r"got -1\.\.2"),
    ],
)
def test_labels_of_another_type_count_or_range_are_refused(labels, words):
    with pytest.raises(BadInputError, match=words):
        as_hard_labels(labels, 3, 3, "labels")
