"""Sets of larger images than the data set's: brought to its size where the protocol says how, refused elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.protocol import PROTOCOLS
from ddbench.students.resizing import at_size_of
from tests._toy import INFO

HARD = PROTOCOLS.get("imagenet-hard")


def made(side: int, channels: int = 3) -> DistilledDataset:
    images = torch.randint(
        256, (3, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return DistilledDataset(images, torch.arange(3), 3, 1, space="pixels", provenance={"method": "dit"})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 9])
def test_images_are_those_of_pillow_and_the_rest_stays(side, channels):
    distilled = made(side, channels)
    found = at_size_of(distilled, replace(INFO, channels=channels, mean=(0.5,) * channels, std=(0.2,) * channels), HARD)
    assert found.images.shape == (3, channels, 8, 8)
    assert (found.labels.tolist(), found.provenance) == (distilled.labels.tolist(), distilled.provenance)
    for image, resized in zip(distilled.images, found.images, strict=True):
        for channel in range(channels):
            expected = Image.fromarray(image[channel].numpy()).resize((8, 8), Image.Resampling.BILINEAR)
            assert np.array_equal(resized[channel].numpy(), np.asarray(expected))


def test_a_set_of_the_data_sets_size_is_left_alone_under_every_protocol():
    distilled = made(8)
    for name in PROTOCOLS.names():
        assert at_size_of(distilled, INFO, PROTOCOLS.get(name)) is distilled


def test_protocols_that_resize_nothing_say_what_to_do():
    with pytest.raises(
        DataMismatchError, match=r"16x16 and those of toy 8x8, and protocol dsa does not resize images.*size=16"
    ):
        at_size_of(made(16), INFO, PROTOCOLS.get("dsa"))


def test_smaller_images_and_whole_real_sets_are_refused():
    with pytest.raises(DataMismatchError, match="5x5 cannot stand for those of toy, 8x8"):
        at_size_of(made(5), INFO, HARD)
    images = torch.empty(3, 3, 16, 16, dtype=torch.uint8, device="meta")
    whole = DistilledDataset(images, torch.arange(3), 3, None, space="pixels")
    with pytest.raises(DataMismatchError, match="16x16 cannot stand for"):
        at_size_of(whole, INFO, HARD)


def test_a_set_made_from_another_size_of_the_data_set_is_no_result_on_this_one():
    of_other = made(16).with_provenance(config={}, dataset="toy,size=16")
    with pytest.raises(DataMismatchError, match="distilled from toy,size=16: it gives no result on toy"):
        at_size_of(of_other, INFO, HARD)
    asked_for = made(16).with_provenance(config={"image_size": 16})
    assert at_size_of(asked_for, INFO, HARD).images.shape == (3, 3, 8, 8)


def test_images_that_are_no_pixels_are_refused():
    images = torch.randn(3, 3, 16, 16)
    distilled = DistilledDataset(images, torch.arange(3), 3, 1)
    with pytest.raises(BadInputError, match=r"square uint8 images, got 16x16 torch\.float32 in space"):
        at_size_of(distilled, INFO, HARD)
