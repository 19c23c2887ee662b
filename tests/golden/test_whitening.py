"""ZCA whitening against its formula in float64. Ours is float32: rounding is between them, and nothing else.

`tests/augment/test_zca.py` compares more splits, each within what rounding may make of it.
"""

from __future__ import annotations

import pytest
import torch

from ddbench.augment.zca import fit_zca, unwhiten, whiten
from ddbench.images import DatasetInfo, LabeledImages
from tests.golden import _hashed as hashed
from tests.golden._agreement import difference
from tests.golden._naive_whitening import naive_fit

WITHIN = 1e-5
EPS = 0.1  # of mtt-distillation


def hashed_colours() -> LabeledImages:
    """300 colour images of 8 px whose neighbouring pixels and channels go together."""
    values = hashed.uniform((300, 3, 8, 8), 3)
    mixed = (values + 2 * values.roll(1, 3) + values.roll(1, 1)) / 4
    info = DatasetInfo("hashed", ("a", "b"), 3, 8, (0.5,) * 3, (0.25,) * 3, "hashed")
    return LabeledImages((256 * mixed).floor().to(torch.uint8), torch.arange(300) % 2, info)


@pytest.mark.parametrize("name", ["digits", "colours"])
def test_fit_and_images_are_those_of_the_formula(name, digits, agreement):
    train = digits if name == "digits" else hashed_colours()
    images = train.pixels(torch.arange(len(train)))
    pixels = images.double().flatten(1).numpy() / 255
    mean, matrix = naive_fit(pixels, EPS)
    found = fit_zca(train)
    expected = torch.from_numpy((pixels - mean) @ matrix)
    whitened = whiten(images, found)
    missed = {
        "mean": difference(found.mean, torch.from_numpy(mean)),
        "matrix": difference(found.matrix, torch.from_numpy(matrix)),
        "images": difference(whitened.flatten(1), expected),
        "pixels of whitened images": difference(unwhiten(expected.view(images.shape), found).flatten(1), pixels),
    }
    agreement(missed, WITHIN)
