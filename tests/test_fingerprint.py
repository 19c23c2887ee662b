"""Fingerprints of data sets: of pixels, labels and names, in their order; the layout is that of older versions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.dataset import check_held, load_dataset, make_real_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.inputs.fingerprints import is_of_content
from ddbench.runs.cell import evaluate
from ddbench.runs.distill import distill

IMAGES = torch.randint(256, (12, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2] * 4)


class Streamed:
    """Images that are decoded when asked for, as a plug-in's may be."""

    def __init__(self, images):
        self._images, self.shape = images, images.shape

    def __getitem__(self, indices):
        return self._images[indices]


def make(images=IMAGES, labels=LABELS, **changes):
    content = {"class_names": ("a", "b", "c"), "mean": (0.5,) * 3, "std": (0.2,) * 3, **changes}
    name = content.pop("name", "toy")
    return make_real_dataset(name, (images[:9], labels[:9]), (images[9:], labels[9:]), **content).info


def test_digits_are_what_they_were():
    info = load_dataset("digits").info
    assert info.fingerprint == "c1-c27d310775ca5fd1"
    assert info.layout == "e4ae1e66bbb68379"  # what every result of an older version carries
    assert info.is_fixed
    assert info.cell_fingerprint == ""


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, IMAGES.numel() - 1), change=st.integers(1, 255))
def test_one_changed_pixel_of_either_split_gives_another_fingerprint(place, change):
    images = IMAGES.clone()
    images.view(-1)[place] ^= change
    assert make(images).fingerprint != make().fingerprint
    assert make(images).layout == make().layout


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(range(9)))
def test_another_order_of_labels_or_images_gives_another_fingerprint(order):
    order = torch.tensor([*order, 9, 10, 11])
    moved = make(labels=LABELS[order])
    assert (moved.fingerprint == make().fingerprint) == torch.equal(LABELS[order], LABELS)
    assert moved.layout == make().layout
    both = make(IMAGES[order], LABELS[order])
    assert (both.fingerprint == make().fingerprint) == (order.tolist() == sorted(order.tolist()))


@pytest.mark.parametrize(
    "changes",
    [{"class_names": ("a", "b", "d")}, {"class_names": ("b", "a", "c")}, {"class_ids": ("n1", "n2", "n3")}],
    ids=["renamed", "order", "ids"],
)
def test_other_names_give_another_fingerprint(changes):
    assert make(**changes).fingerprint != make().fingerprint
    assert make(**changes).layout != make().layout


def test_what_is_no_content_does_not_count():
    same = make(IMAGES.clone(), LABELS.clone(), name="other", mean=(0.1,) * 3, may_be_mirrored=False)
    assert same.fingerprint == make().fingerprint
    assert make(IMAGES.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)).fingerprint == make().fingerprint


def changed(real, which, how):
    """Return a data set that keeps its info, with one split exchanged."""
    split = {
        "pixels": lambda s: replace(s, images=255 - s.images),
        "labels": lambda s: replace(s, labels=s.labels.flip(0)),
        "fewer": lambda s: replace(s, images=s.images[:-1], labels=s.labels[:-1]),
    }[how](getattr(real, which))
    return replace(real, **{which: split})


@pytest.mark.parametrize("how", ["pixels", "labels", "fewer"])
@pytest.mark.parametrize("which", ["train", "test"])
def test_a_set_that_is_no_longer_what_its_fingerprint_says_is_refused_where_it_is_used(which, how):
    real = load_dataset("digits")
    check_held(real)
    other = changed(real, which, how)
    of_real = torch.cat([real.train.of_class(label)[:1] for label in range(10)])
    distilled = DistilledDataset(real.train.normalised(of_real), torch.arange(10), 10, 1)
    with pytest.raises(BadInputError, match=r"not those that make the fingerprint of digits, c1-.*make_real_dataset"):
        distill("random_real", other, 1, device="cpu")
    with pytest.raises(BadInputError, match="not those that make the fingerprint of digits"):
        evaluate(distilled, other, "quick", students=1, device="cpu")


def test_splits_that_changed_places_or_in_place_are_noticed():
    real = load_dataset("digits")
    with pytest.raises(BadInputError, match="not those that make the fingerprint"):
        check_held(replace(real, train=real.test, test=real.train))
    real.train.images[0] = 0
    with pytest.raises(BadInputError, match="not those that make the fingerprint"):
        check_held(real)
    check_held(load_dataset("digits"))


def test_labels_of_streamed_images_are_compared():
    streamed = Streamed(IMAGES[:9])
    content = {"class_names": ("a", "b", "c"), "mean": (0.5,) * 3, "std": (0.2,) * 3}
    real = make_real_dataset("toy", (streamed, LABELS[:9]), (IMAGES[9:], LABELS[9:]), **content)
    check_held(real)
    with pytest.raises(BadInputError, match="not those that make the fingerprint of toy"):
        check_held(changed(real, "train", "labels"))


def test_images_that_are_not_held_give_the_same_fingerprint():
    held = make()
    split = Streamed(IMAGES[:9]), LABELS[:9]
    names = {"class_names": ("a", "b", "c"), "mean": (0.5,) * 3, "std": (0.2,) * 3}
    info = make_real_dataset("toy", split, (Streamed(IMAGES[9:]), LABELS[9:]), **names).info
    assert info == held


def test_a_name_stands_for_its_content_where_that_is_expected():
    assert not make().is_fixed
    assert make(expected={"image_shape": [3, 4, 4]}).is_fixed
    assert not make(expected={"image_shape": [3, 4, 4]}, is_fixed=False).is_fixed


def test_fingerprints_of_content_are_told_from_older_ones():
    assert is_of_content(make().fingerprint)
    assert not is_of_content(make().layout)
    assert not is_of_content("")
    assert replace(make(), is_fixed=True).cell_fingerprint == ""
