"""Fingerprints of data sets: of pixels, labels and names, in their order; the layout is that of older versions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.dataset import load_dataset, make_real_dataset
from ddbench.images import is_of_content

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
