"""Tests of the picture of a distilled set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from ddbench.augment.zca import fit_zca, whiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.grid import (
    BACKGROUND,
    COLUMNS,
    GAP,
    LINE,
    MIN_SIDE,
    MOST_SIDE,
    display_pixels,
    draw_grid,
    save_grid,
    shown_classes,
    stand_in,
)
from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, LabeledImages

COLOUR = DatasetInfo("toy", ("cat", "dog", "electric ray"), 3, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "")
GREY = DatasetInfo("grey", ("cat", "dog", "electric ray"), 1, 8, (0.4,), (0.2,), "")


def made(images: Tensor, labels: list[int] | Tensor, ipc: int | None, space: str = "normalised") -> DistilledDataset:
    return DistilledDataset(images, torch.as_tensor(labels), 3, ipc, space)


def opened(distilled: DistilledDataset, info: DatasetInfo, folder) -> np.ndarray:
    path = save_grid(distilled, info, folder / "images.png")
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


def tile(picture: np.ndarray, row: int, column: int, columns: int, side: int) -> np.ndarray:
    """Cut one image out; the columns end GAP before the right edge."""
    left = picture.shape[1] - GAP - (columns - column) * (side + GAP)
    top = GAP + row * (side + GAP)
    return picture[top : top + side, left : left + side]


def test_pixels_are_shown_as_they_are(generator):
    images = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8, generator=generator)
    shown = display_pixels(made(images, [0, 1, 2], 1, "pixels"), COLOUR)
    assert torch.equal(shown, images)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), grey=st.booleans())
def test_normalised_images_and_float_pixels_show_the_pixels_they_stand_for(seed, grey):
    info = GREY if grey else COLOUR
    shape = (3, info.channels, 8, 8)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    for images, space in ((info.normalise(pixels), "normalised"), (pixels.float() / 255, "pixels")):
        shown = display_pixels(made(images, [0, 1, 2], 1, space), info)
        assert shown.shape == (3, 3, 8, 8)
        assert torch.equal(shown, pixels.expand(-1, 3, -1, -1))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), grey=st.booleans())
def test_whitened_images_show_the_pixels_they_stand_for(seed, grey):
    info = GREY if grey else COLOUR
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (30, info.channels, 8, 8), dtype=torch.uint8, generator=generator)
    whitening = fit_zca(LabeledImages(pixels, torch.zeros(30, dtype=torch.int64), info))
    whitened = whiten(pixels[:3], whitening)
    distilled = DistilledDataset(whitened, torch.arange(3), 3, 1, "zca", whitening=whitening)
    assert torch.equal(display_pixels(distilled, info), pixels[:3].expand(-1, 3, -1, -1))
    far = DistilledDataset(whitened * 100, torch.arange(3), 3, 1, "zca", whitening=whitening)
    extremes = (display_pixels(far, info) % 255 == 0).double().mean()
    assert extremes > 0.9  # clipped to black or white


def test_values_out_of_range_are_clipped_for_display_alone():
    images = torch.tensor([-9.0, 0.0, 9.0]).view(3, 1, 1, 1).repeat(1, 3, 8, 8)
    distilled = made(images, [0, 1, 2], 1)
    shown = display_pixels(distilled, COLOUR)[:, :, 0, 0]
    assert shown.tolist() == [[0, 0, 0], [102, 128, 153], [255, 255, 255]]
    assert torch.equal(distilled.images[:, 0, 0, 0], torch.tensor([-9.0, 0.0, 9.0]))


def test_each_class_has_a_row_and_each_image_a_column(tmp_path, generator):
    images = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = [2, 0, 1, 0, 2, 1]
    picture = opened(made(images, labels, 2, "pixels"), COLOUR, tmp_path)
    scale = MIN_SIDE // 8
    for row in range(3):
        members = [i for i in range(6) if labels[i] == row]
        for column, index in enumerate(members):
            found = tile(picture, row, column, 2, MIN_SIDE)
            enlarged = images[index].permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
            assert np.array_equal(found, enlarged)


def test_class_names_stand_beside_the_rows_and_not_on_the_images(tmp_path):
    picture = opened(made(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), [0, 1, 2], 1, "pixels"), COLOUR, tmp_path)
    margin = picture[:, : -MIN_SIDE - 2 * GAP]
    for row in range(3):
        top = GAP + row * (MIN_SIDE + GAP)
        assert (margin[top : top + MIN_SIDE] != BACKGROUND).any()
    assert (tile(picture, 0, 0, 1, MIN_SIDE) == 0).all()
    assert (margin[:, -GAP:] == BACKGROUND).all()
    assert (picture[:GAP] == BACKGROUND).all()


@pytest.mark.parametrize(("side", "expected"), [(8, 48), (28, 56), (32, 64), (48, 48), (64, 64)])
def test_small_images_are_enlarged_by_a_whole_number(side, expected, tmp_path):
    info = DatasetInfo("toy", ("a", "b", "c"), 1, side, (0.5,), (0.5,), "")
    picture = opened(made(torch.zeros(3, 1, side, side, dtype=torch.uint8), [0, 1, 2], 1, "pixels"), info, tmp_path)
    assert picture.shape[0] == 3 * (expected + GAP) + GAP


def test_no_more_than_the_first_columns_are_shown(tmp_path):
    ipc = COLUMNS + 3
    images = torch.zeros(3 * ipc, 1, 8, 8)
    images[COLUMNS:ipc] = 9.0  # white: the images of class 0 that there is no room for
    few = opened(made(images[torch.arange(3 * ipc) % ipc < COLUMNS], _rows(COLUMNS), COLUMNS), GREY, tmp_path)
    found = opened(made(images, _rows(ipc), ipc), GREY, tmp_path)
    assert np.array_equal(found[: len(few)], few)
    assert found.shape[0] == len(few) + LINE  # in which the picture says so
    assert (found[len(few) :] != BACKGROUND).any()


def _rows(ipc: int) -> Tensor:
    return torch.arange(3).repeat_interleave(ipc)


def test_of_many_classes_a_hundred_are_shown(tmp_path):
    assert shown_classes(100) == list(range(100))
    assert shown_classes(1000) == list(range(0, 1000, 10))
    assert len(set(shown_classes(101))) == 100
    info = DatasetInfo("many", tuple(map(str, range(250))), 1, 8, (0.5,), (0.5,), "")
    images = torch.arange(250).view(250, 1, 1, 1).expand(250, 1, 8, 8).to(torch.uint8)
    picture = opened(DistilledDataset(images, torch.arange(250), 250, 1, "pixels"), info, tmp_path)
    assert picture.shape[0] == 100 * (32 + GAP) + GAP + LINE  # of 8 px each, enlarged by as much as fits
    for row in (0, 1, 57, 99):
        middle = picture[GAP + row * (32 + GAP) + 3]
        assert (middle == row * 250 // 100).all(-1).sum() >= 32


def test_soft_labels_go_to_their_likeliest_class(tmp_path, generator):
    images = torch.randn(3, 3, 8, 8, generator=generator)
    soft = torch.tensor([[0.2, 0.2, 0.6], [0.8, 0.1, 0.1], [0.1, 0.5, 0.4]])
    hard = opened(made(images, [2, 0, 1], 1), COLOUR, tmp_path)
    assert np.array_equal(opened(made(images, soft, 1), COLOUR, tmp_path), hard)


def test_a_class_without_images_has_an_empty_row(tmp_path):
    picture = opened(made(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), [0, 0, 0, 2], None, "pixels"), COLOUR, tmp_path)
    assert (tile(picture, 1, 0, 3, MIN_SIDE) == BACKGROUND).all()
    assert (tile(picture, 2, 0, 3, MIN_SIDE) == 0).all()
    assert (tile(picture, 2, 1, 3, MIN_SIDE) == BACKGROUND).all()


@pytest.mark.parametrize(("classes", "side", "ipc"), [(1, 224, 1), (1000, 32, 1), (100, 224, 10), (10, 500, 12)])
def test_a_picture_is_never_larger_than_programs_open(classes, side, ipc):
    images = torch.zeros(classes * ipc, 1, side, side, dtype=torch.uint8)
    labels = torch.arange(classes).repeat_interleave(ipc)
    picture = draw_grid(DistilledDataset(images, labels, classes, ipc, "pixels"))
    assert max(picture.size) <= MOST_SIDE
    assert picture.height >= min(classes, 100) * 30


def test_without_an_info_the_set_is_shown_in_what_colours_it_has(generator):
    images = torch.randn(3, 3, 8, 8, generator=generator)
    picture = np.asarray(made(images, [0, 1, 2], 1).show())
    assert picture.min() == 0
    assert picture.max() == 255
    named = np.asarray(made(images, [0, 1, 2], 1).show(COLOUR))
    assert named.shape[0] == picture.shape[0]


def test_the_real_training_split_itself_cannot_be_shown():
    streamed = DistilledDataset(
        torch.zeros(3, 3, 8, 8, dtype=torch.uint8, device="meta"), torch.arange(3), 3, None, "pixels"
    )
    with pytest.raises(BadInputError, match="holds no images to show"):
        streamed.show()
    assert "<img" not in streamed._repr_html_()


def test_images_that_hold_several_are_shown_as_they_are_stored():
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    distilled = DistilledDataset(images, torch.arange(3), 3, 1, "pixels", decode_factor=2)
    assert distilled.show().height == 3 * (MIN_SIDE + GAP) + GAP
    assert "<img" in distilled._repr_html_()


def test_of_many_classes_those_with_images_are_shown_where_the_others_have_none():
    labels = torch.tensor([3, 7])
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    distilled = DistilledDataset(images, labels, 1000, 1, "pixels", uneven=True)
    assert distilled.show().height >= 2 * (MIN_SIDE + GAP)


def test_an_info_of_another_data_set_is_refused_in_one_line():
    distilled = made(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), [0, 1, 2], 1, "pixels")
    with pytest.raises(BadInputError, match="info is of grey with 3 classes and 1 channels, the set has 3 and 3"):
        distilled.show(GREY)
    short = DistilledDataset(distilled.images, distilled.labels, 3, 1, "pixels", provenance={"class_names": ["a"]})
    assert stand_in(short).class_names[2] == "class 2"
