"""Tests of importing IDC's file, whose images hold several."""

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.runs.cell import evaluate
from ddbench.students.data import TrainingSet
from ddbench.testing import SMOKE_PROTOCOL


def test_images_are_pixels_and_students_see_their_parts(imported, saved, digits, pixels, labels):
    source = saved([pixels.float() / 255, labels], "conv3in_grad_mse_factor2_lr0.005/data.pt")
    found = imported(source, "idc")
    (made,) = found.sets
    assert (made.space, made.decode_factor, made.ipc) == ("pixels", 2, 2)
    assert any("factor 2, from the folder's name: each stored image holds 4" in note for note in found.notes)
    seen = TrainingSet.of(made, digits.info, torch.device("cpu"))
    assert seen.images.shape == (80, 1, 8, 8)
    assert torch.equal(seen.labels, labels.repeat(4))
    result = evaluate(made, digits, SMOKE_PROTOCOL, students=1)
    assert (result.decode_factor, result.distilled_bytes) == (2, 20 * 64 * 4 + 20 * 8)
    assert torch.equal(imported(source.parent, "idc", factor=1).sets[0].images, made.images)


def test_the_factor_is_asked_for_where_nothing_says_it(imported, saved, pixels, labels):
    source = saved([pixels.float() / 255, labels], "data.pt")
    with pytest.raises(BadInputError, match="give --factor: 2 or 3"):
        imported(source, "idc")
    assert imported(source, "idc", factor=3).sets[0].decode_factor == 3
    with pytest.raises(BadInputError, match="must be a pair of images and labels"):
        imported(saved([pixels], "other.pt"), "idc", factor=1)
