from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps, TiffImagePlugin

from ddbench.errors import DataMismatchError
from ddbench.image_files import decode as decoding
from ddbench.image_files.decode import decode_images


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


VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)
PIL_FORMATS = "JPEG, PNG, WEBP, BMP, PPM, TIFF"


def decode(data, channels=1, size=16, *, resize=False):
    return decode_images([data], ["x.png"], channels=channels, size=size, resize=resize)[0]


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_grey_is_scaled_to_8(kind, channels):
    data = save(Image.fromarray(VALUES.astype(np.uint16) * 257), kind)
    assert torch.equal(decode(data, channels), torch.from_numpy(VALUES).expand(channels, 16, 16))


def test_16_bit_values_between_are_rounded():
    values = np.array([[0, 128, 129, 65535 - 129, 65535 - 128, 65535, 300, 32768]] * 8, dtype=np.uint16)
    found = decode(save(Image.fromarray(values), "PNG"), size=8)
    assert found[0, 0].tolist() == [0, 0, 1, 254, 255, 255, 1, 128]


def test_a_16_bit_tiff_may_be_big_endian_and_have_white_at_zero():
    image = Image.fromarray(VALUES.astype(np.uint16) * 257)
    big = Image.frombytes("I;16B", (16, 16), (VALUES.astype(">u2") * 257).tobytes())
    assert torch.equal(decode(save(big, "TIFF"))[0], torch.from_numpy(VALUES))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    inverted = save(image, "TIFF", tiffinfo=tags)
    assert Image.open(io.BytesIO(inverted)).tag_v2[262] == 0
    assert torch.equal(decode(inverted)[0], torch.from_numpy(255 - VALUES))


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "32-bit integers"), (np.float32, "floats")])
def test_values_without_a_certain_range_are_refused(dtype, kind):
    data = save(Image.fromarray(VALUES.astype(dtype)), "TIFF")
    with pytest.raises(DataMismatchError, match=rf"^the image x\.png holds {kind} \(mode [IF]\)[^\n]*8 or 16 bits$"):
        decode(data)


def test_signed_integers_are_refused():
    data = save(Image.fromarray(VALUES.astype(np.uint8)), "TIFF", tiffinfo={TiffImagePlugin.SAMPLEFORMAT: 2})
    with pytest.raises(DataMismatchError, match=r"^the image x\.png holds signed integers, [^\n]*unsigned bits$"):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind, orientation):
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8, :8], pixels[:8, 8:] = 255, 100
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    data = save(Image.fromarray(pixels), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(decode(data, 3).permute(1, 2, 0).numpy(), upright)
    corners = upright[0, 0, 0], upright[0, -1, 0]
    assert (corners == (255, 100)) == (orientation == 1)


def test_a_rotated_picture_is_turned_before_it_is_scaled_and_grey_ones_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = Image.fromarray(np.repeat(np.arange(32, dtype=np.uint8)[:, None] * 8, 16, axis=1))
    data = save(tall.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    found = decode(data, 3, 16, resize=True)
    assert torch.equal(found, decode(save(tall, "PNG"), 3, 16, resize=True))


def test_damaged_exif_says_nothing():
    data = save(Image.fromarray(VALUES), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert torch.equal(decode(data)[0], torch.from_numpy(VALUES))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(kind):
    frames = [Image.fromarray(np.full((16, 16, 3), shade, dtype=np.uint8)) for shade in (0, 255)]
    data = save(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(DataMismatchError, match=r"^the image x\.png holds 2 frames, not one picture; [^\n]*$"):
        decode(data, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_alpha_is_dropped_and_the_colour_beneath_stays(mode):
    colour = (90, 90, 90, 0)
    image = Image.new("RGBA", (16, 16), colour)
    kind, options = "PNG", {}
    if mode in ("P", "PA"):
        image = Image.new("P", (16, 16))
        image.putpalette([90] * 768)
        options = {"transparency": bytes(256)}
    elif mode == "LA":
        image = image.convert("LA")
    assert decode(save(image, kind, **options), 3).eq(90).all()


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("1", "PNG")])
def test_other_colour_spaces_are_converted(mode, kind):
    red = Image.new("RGB", (16, 16), (255, 255, 255)).convert(mode)
    assert decode(save(red, kind), 3).eq(255).all()


def test_content_says_the_format_and_not_the_name(tmp_path):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(save(Image.fromarray(VALUES), "PNG"))
    found = decode_images([path], ["x"], channels=1, size=16, resize=False)
    assert torch.equal(found[0, 0], torch.from_numpy(VALUES))


@pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a" + bytes(40)], ids=["empty", "text", "gif"])
def test_what_is_no_image_is_named_without_addresses_in_memory(content):
    with pytest.raises(DataMismatchError) as caught:
        decode(content)
    assert "x.png" in str(caught.value)
    assert PIL_FORMATS in str(caught.value)
    assert "object at" not in str(caught.value)


def test_a_bomb_is_refused_by_name_and_a_large_picture_is_not(recwarn):
    with pytest.raises(DataMismatchError, match=r"^cannot decode the image x\.png [^\n]*exceeds limit[^\n]*$"):
        decode(save(Image.new("1", (20000, 20000)), "PNG"), resize=True)
    assert decode(save(Image.new("1", (10000, 10000)), "PNG"), resize=True).eq(0).all()
    assert not recwarn


def test_a_picture_too_long_to_be_scaled_is_refused():
    with pytest.raises(DataMismatchError, match=r"^the image x\.png is 60000x1, too long to be scaled to 224 pixels"):
        decode(save(Image.new("L", (60000, 1)), "PNG"), size=224, resize=True)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF"]))
def test_a_damaged_file_is_decoded_or_refused_in_one_line(data, kind):
    content = bytearray(save(Image.fromarray(VALUES), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    refusals = []
    try:
        decode(bytes(content), 3, resize=True)
    except DataMismatchError as error:
        refusals.append(str(error))
    assert all("x.png" in text and "\n" not in text for text in refusals)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_pictures_are_the_same_in_order_whatever_the_threads_and_none_is_left(
    encode, random_pixels, monkeypatch, workers
):
    pixels = random_pixels(40, 8, 8, 3)
    encoded, names = [encode(picture) for picture in pixels], [str(place) for place in range(40)]
    monkeypatch.setattr(decoding, "cores", lambda: workers)
    before = threading.active_count()
    found = decode_images(encoded, names, channels=3, size=8, resize=False)
    assert torch.equal(found, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with pytest.raises(DataMismatchError, match=r"^cannot decode the image 17 [^\n]*$"):
        decode_images([*encoded[:17], b"damaged", *encoded[18:]], names, channels=3, size=8, resize=False)
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to cores")
def test_threads_follow_the_cores_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert decoding.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert decoding.cores() == len(allowed)
