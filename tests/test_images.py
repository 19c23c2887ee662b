"""Real images on a device: the same ones, whoever holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ddbench import load_dataset
from ddbench.errors import BadInputError
from ddbench.images import LabeledImages, RealDataset

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


INFO = load_dataset("digits").info
PIXELS, LABELS = torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(10).repeat(2)

REFUSED_SPLITS = {
    "float images": ({"images": PIXELS.float()}, "real images must be uint8, got torch.float32"),
    "other side": ({"images": torch.zeros(20, 1, 9, 9).byte()}, r"must be \(N, 1, 8, 8\) with at least one, got"),
    "other channels": ({"images": torch.zeros(20, 3, 8, 8).byte()}, r"must be \(N, 1, 8, 8\)"),
    "no image": ({"images": PIXELS[:0], "labels": LABELS[:0]}, "with at least one"),
    "no images": ({"images": None}, "real images must be a torch tensor, got None"),
    "numpy": ({"images": PIXELS.numpy()}, "convert it with torch.from_numpy"),
    "path": ({"images": Path("images")}, "real images must be a torch tensor, got PosixPath"),
    "int32 labels": ({"labels": LABELS.int()}, r"must be \(20,\) int64, got \(20,\) torch.int32"),
    "fewer labels": ({"labels": LABELS[:19]}, r"must be \(20,\) int64, got \(19,\)"),
    "a class too many": ({"labels": LABELS + 1}, r"labels must lie in 0\.\.9 \(10 classes\), got 1\.\.10"),
    "no info": ({"info": "digits"}, "info of a split must be a DatasetInfo"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED_SPLITS.values(), ids=REFUSED_SPLITS)
def test_a_split_that_cannot_be_is_refused(changes, words):
    with pytest.raises(BadInputError, match=words):
        LabeledImages(**{"images": PIXELS, "labels": LABELS, "info": INFO, **changes})


def test_a_data_set_needs_every_class_in_both_splits():
    whole = LabeledImages(PIXELS, LABELS, INFO)
    assert RealDataset(whole, whole, INFO).info is INFO
    lacking = LabeledImages(PIXELS, LABELS.clamp(max=8), INFO)
    for splits in ((lacking, whole), (whole, lacking)):
        with pytest.raises(BadInputError, match="must have an image of every class, has none of 1 of 10, such as '9'"):
            RealDataset(*splits, INFO)
    with pytest.raises(BadInputError, match="train split of a data set must be a LabeledImages"):
        RealDataset(PIXELS, whole, INFO)


REFUSED_INFOS = {
    "one text": ({"class_names": "0123456789"}, "class_names must be a list or tuple of texts"),
    "numbers": ({"class_names": tuple(range(10))}, "each of class_names must be text, got 0"),
    "twice": ({"class_names": ("a",) * 10}, "class_names must differ from each other, got text 'a' twice"),
    "none": ({"class_names": ()}, "class_names must hold at least 1"),
    "ids": ({"class_ids": ("n1",)}, "class_ids must be one for each of the 10 classes or none, got 1"),
    "short mean": ({"mean": ()}, "mean must be a tuple of 1 numbers, one a channel, got 0"),
    "mean nan": ({"mean": (float("nan"),)}, "each of mean must be a finite number"),
    "std zero": ({"std": (0.0,)}, "std must be above 0"),
    "channels": ({"channels": 1.0}, "channels must be a whole number"),
    "size": ({"image_size": 0}, "image_size must be at least 1"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED_INFOS.values(), ids=REFUSED_INFOS)
def test_an_identity_that_cannot_be_is_refused(changes, words):
    with pytest.raises(BadInputError, match=words):
        replace(INFO, **changes)
    assert replace(INFO, class_names=list(INFO.class_names)) == INFO
