"""Tests of ImageNet's classes by WordNet id."""

from dataclasses import replace

import pytest

from ddbench.errors import BadInputError
from ddbench.pretrained.imagenet import IMAGENET_CLASSES, _places, imagenet_places
from tests._weights import BIRDS, toy_subset


def test_the_order_is_that_of_the_ids():
    assert list(_places()) == sorted(_places())
    assert list(_places().values()) == list(range(IMAGENET_CLASSES))


def test_places_are_those_that_everybody_knows():
    assert imagenet_places(toy_subset().info, "").tolist() == list(BIRDS.values())


def test_a_class_that_is_none_is_told_in_one_line():
    info = replace(toy_subset().info, class_ids=("n01440764", "n99999999", "n02102040"))
    with pytest.raises(BadInputError, match=r"^class n99999999 of toy is not one of ImageNet's 1,000; leave it out$"):
        imagenet_places(info, "leave it out")
