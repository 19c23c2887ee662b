"""Images and labels of a distilled set: probabilities, even classes, and pixels within reach of real ones."""

from __future__ import annotations

import pytest
import torch

from ddbench.augment.zca import whiten
from ddbench.errors import BadInputError
from ddbench.images import Whitening
from ddbench.inputs import distilled_sets

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def normalise(pixels):
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


@pytest.mark.parametrize("value", [-3.0, 0.0, 1.0, 4.0])
def test_pixels_within_the_margin_are_taken(value):
    inner = value + (1e-4 if value < 0 else -1e-4)
    distilled_sets.check_normalised(normalise(torch.full((2, 3, 4, 4), inner)), MEAN, STD, 3.0, "toy")


@pytest.mark.parametrize("value", [-3.1, 4.1, 255.0])
def test_one_pixel_beyond_the_margin_is_refused_and_a_wider_margin_takes_it(value):
    pixels = torch.rand(2, 3, 4, 4)
    pixels[1, 2, 0, 3] = value
    with pytest.raises(BadInputError, match="normalised images of toy must have pixels at most 3 outside"):
        distilled_sets.check_normalised(normalise(pixels), MEAN, STD, 3.0, "toy")
    distilled_sets.check_normalised(normalise(pixels), MEAN, STD, abs(value), "toy")
    distilled_sets.check_normalised(normalise(pixels), MEAN, STD, float("inf"), "toy")


def test_every_whitened_image_of_pixels_within_the_margin_is_taken(generator):
    matrix = torch.randn(48, 48, generator=generator)
    whitening = Whitening(torch.rand(48, generator=generator), (matrix + matrix.T) / 2)
    pixels = torch.randint(0, 2, (50, 3, 4, 4), generator=generator) * 6.999 - 2.9995  # corners of the range
    images = whiten(pixels, whitening)
    distilled_sets.check_whitened(images, whitening.mean, whitening.matrix, 3.0, "toy")
    with pytest.raises(BadInputError, match="1 of 50 images are not whitened images of toy"):
        distilled_sets.check_whitened(
            images * torch.tensor([500.0] + [1.0] * 49).view(-1, 1, 1, 1), whitening.mean, whitening.matrix, 3.0, "toy"
        )


def test_soft_rows_may_miss_one_by_rounding_and_no_more():
    rows = torch.full((4, 5), 0.2)
    distilled_sets.check_soft_rows(rows * 1.0009)
    distilled_sets.check_soft_rows(torch.eye(5))
    distilled_sets.check_soft_rows(torch.randn(4, 1000).softmax(1))
    for wrong in (rows * 1.0011, rows * 0, torch.randn(4, 5), torch.tensor([[1.5, -0.5, 0, 0, 0]])):
        with pytest.raises(BadInputError, match=r"must be probabilities.*make logits so with labels.softmax\(1\)"):
            distilled_sets.check_soft_rows(wrong)


def test_classes_of_different_size_are_refused_whatever_their_mean():
    distilled_sets.check_counts(torch.tensor([2, 0, 1, 1, 0, 2]), 2, 3)
    for labels in ([0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 1, 1]):
        with pytest.raises(BadInputError, match="or give uneven=True if this is intended"):
            distilled_sets.check_counts(torch.tensor(labels), 2, 3)


def test_float_pixels_lie_in_zero_to_one():
    distilled_sets.check_pixels(torch.tensor([-0.003, 1.003]), distilled_sets.PIXEL_TOLERANCE)
    for wrong in ([0.0, 255.0], [-0.01, 1.0], [0.0, 1.01]):
        with pytest.raises(BadInputError, match=r"must lie in 0\.\.1, got"):
            distilled_sets.check_pixels(torch.tensor(wrong), distilled_sets.PIXEL_TOLERANCE)
