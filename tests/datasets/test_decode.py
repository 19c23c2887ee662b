from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ddbench.datasets._decode import decode_images
from ddbench.errors import DataMismatchError


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "PPM", "TIFF"])
def test_lossless_formats_give_back_their_pixels(encode, random_pixels, kind):
    pixels = random_pixels(5, 16, 16, 3)
    images = decode_images([encode(p, kind) for p in pixels], [""] * 5, channels=3, size=16, resize=False)
    assert images.dtype == torch.uint8
    assert torch.equal(images, torch.from_numpy(pixels).permute(0, 3, 1, 2))


def test_jpeg_gives_back_a_flat_colour(encode):
    data = encode(np.full((16, 16, 3), 128, dtype=np.uint8), "JPEG")
    assert decode_images([data], [""], channels=3, size=16, resize=False).eq(128).all()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 6), st.just(9), st.just(9))))
def test_grey_images_keep_their_order_and_values(encode, pixels):
    images = decode_images([encode(p) for p in pixels], [""] * len(pixels), channels=1, size=9, resize=False)
    assert torch.equal(images, torch.from_numpy(pixels).unsqueeze(1))


def test_many_images_keep_their_order(encode):
    shades = [index % 256 for index in range(600)]
    encoded = [encode(np.full((8, 8), shade, dtype=np.uint8)) for shade in shades]
    images = decode_images(encoded, [""] * 600, channels=1, size=8, resize=False)
    assert images[:, 0, 0, 0].tolist() == shades


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_modes_become_rgb(encode, mode):
    data = encode(np.full((8, 8, 3), 255, dtype=np.uint8), mode=mode)
    assert decode_images([data], [""], channels=3, size=8, resize=False).eq(255).all()


def test_resizing_scales_the_shorter_side_and_crops_the_centre(encode):
    pixels = np.zeros((16, 48, 3), dtype=np.uint8)
    pixels[:, 16:32] = 200
    image = decode_images([encode(pixels)], [""], channels=3, size=8, resize=True)[0]
    assert image.shape == (3, 8, 8)
    assert image[:, :, 2:6].eq(200).all()


def test_resizing_is_antialiased(encode):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (32, 16))
    image = decode_images([encode(stripes)], [""], channels=1, size=8, resize=True)
    assert image.float().sub(127.5).abs().max() < 40


def test_an_image_of_the_right_size_is_left_alone_by_resizing(encode, random_pixels):
    pixels = random_pixels(8, 8, 3)
    image = decode_images([encode(pixels)], [""], channels=3, size=8, resize=True)[0]
    assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))


def test_another_size_is_an_error_without_resizing(encode):
    data = encode(np.zeros((8, 10), dtype=np.uint8))
    with pytest.raises(DataMismatchError, match=r"^the image sixth should be 8x8, found 10x8; [^\n]*$"):
        decode_images([data], ["sixth"], channels=1, size=8, resize=False)


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_a_truncated_image_is_named(encode, random_pixels, keep):
    data = encode(random_pixels(16, 16, 3))[:keep]
    with pytest.raises(DataMismatchError, match=r"^cannot decode the image in row 3 of a\.parquet [^\n]*$"):
        decode_images([data], ["in row 3 of a.parquet"], channels=3, size=16, resize=False)
