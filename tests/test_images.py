"""Real images on a device: the same ones, whoever holds them."""

from __future__ import annotations

import torch

from ddbench import load_dataset
from ddbench.images import LabeledImages

CPU = torch.device("cpu")


class Source:
    """Gives images when asked for some, and keeps what it was asked for."""

    def __init__(self, images):
        self._images, self.asked = images, []
        self.shape = images.shape

    def __getitem__(self, indices):
        self.asked.append(indices)
        return self._images[indices]


def test_a_split_on_a_device_gives_the_same_images():
    train = load_dataset("digits").train
    there, few = train.on(CPU), torch.tensor([5, 3, 5])
    assert torch.equal(there.pixels(few), train.pixels(few))
    assert torch.equal(there.normalised(few, CPU), train.normalised(few))
    assert there.info is train.info
    assert torch.equal(there.labels, train.labels)
    # On `meta` shapes are all there is: images are taken on the device, whatever the indices are on.
    assert train.on(torch.device("meta")).pixels(few).device.type == "meta"


def test_images_that_are_read_when_asked_for_stay_where_they_are():
    train = load_dataset("digits").train
    source = Source(train.images)
    read = LabeledImages(source, train.labels, train.info).on(torch.device("meta"))
    assert torch.equal(read.pixels(torch.tensor([2, 0])), train.images[[2, 0]])
    assert [indices.tolist() for indices in source.asked] == [[2, 0]]


def test_normalising_and_back_for_every_number_of_channels():
    info = load_dataset("digits").info
    pixels = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    expected = (pixels.double() / 255 - info.mean[0]) / info.std[0]
    torch.testing.assert_close(info.normalise(pixels).double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(info.to_pixels(info.normalise(pixels)), pixels / 255)
