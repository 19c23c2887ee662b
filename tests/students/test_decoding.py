"""Tests of images that hold several: against a plain loop, and as students see them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import DatasetInfo
from ddbench.students.data import TrainingSet
from ddbench.students.decoding import FILL, decode_images, decode_labels


def plain(images, factor, fill):
    """One part after the other, as the papers say it, in float64."""
    height, width = images.shape[-2:]
    tall, wide = -(-height // factor), -(-width // factor)
    parts = []
    for row in range(factor):
        for column in range(factor):
            part = fill.double().view(1, -1, 1, 1).repeat(len(images), 1, tall, wide)
            cut = images[:, :, row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
            part[:, :, : cut.shape[2], : cut.shape[3]] = cut
            parts.append(F.interpolate(part, size=(height, width), mode="bilinear", align_corners=False))
    return torch.cat(parts)


@given(factor=st.integers(1, 4), side=st.integers(4, 9), seed=st.integers(0, 99))
def test_parts_are_those_of_a_plain_loop(factor, side, seed):
    images = torch.randn(3, 2, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fill = torch.tensor([0.5, -1.0])
    found = decode_images(images, factor, fill)
    assert found.shape == (3 * factor**2, 2, side, side)
    assert torch.allclose(found, plain(images, factor, fill), atol=1e-12)


def test_labels_go_with_the_parts():
    assert decode_labels(torch.tensor([3, 5]), 2).tolist() == [3, 5] * 4
    assert decode_labels(torch.eye(2), 3).shape == (18, 2)


@pytest.mark.parametrize("space", ["pixels", "normalised"])
def test_students_see_parts_in_their_space_whatever_the_set_holds(space):
    info = DatasetInfo("toy", ("a", "b"), 1, 5, (0.3,), (0.2,), "f")
    pixels = torch.rand(2, 1, 5, 5)
    images = pixels if space == "pixels" else info.normalise(pixels)
    made = DistilledDataset(images, torch.tensor([0, 1]), 2, 1, space, decode_factor=2)
    seen = TrainingSet.of(made, info, torch.device("cpu"))
    wanted = info.normalise(decode_images(pixels, 2, torch.tensor([FILL])))
    assert torch.allclose(seen.images, wanted, atol=1e-6)
    assert seen.labels.tolist() == [0, 1] * 4
    assert made.num_bytes == 2 * 25 * 4 + 2 * 8
