"""The class lists of all ImageNet subsets, against the tables of timm and torchvision."""

from __future__ import annotations

from importlib import import_module

import pytest
from timm.data import ImageNetInfo
from torchvision.models import AlexNet_Weights

from ddbench.datasets.imagenet1k import all_classes

# Class indices in the authors' code, in label order; see the docstring of each data set's file.
INDICES = {
    "imagenette": [0, 217, 482, 491, 497, 566, 569, 571, 574, 701],
    "imagewoof": [193, 182, 258, 162, 155, 167, 159, 273, 207, 229],
    "imagemeow": [281, 282, 283, 284, 285, 291, 292, 290, 289, 287],
    "imagesquawk": [84, 130, 88, 144, 145, 22, 96, 9, 100, 89],
    "imagefruit": [953, 954, 949, 950, 951, 957, 952, 945, 943, 948],
    "imageyellow": [309, 986, 954, 951, 987, 779, 599, 291, 72, 11],
    "imageidc": [452, 64, 374, 236, 993, 176, 882, 904, 503, 74],
}


def classes_of(name: str) -> tuple[tuple[str, str], ...]:
    return import_module(f"ddbench.datasets.{name}").CLASSES


@pytest.mark.parametrize("name", INDICES)
def test_word_net_ids_are_those_of_the_authors_indices(name):
    ids = ImageNetInfo().label_names()
    assert [wnid for wnid, _ in classes_of(name)] == [ids[index] for index in INDICES[name]]


@pytest.mark.parametrize("name", [*INDICES, "imagenet100"])
def test_names_belong_to_their_word_net_ids(name):
    categories = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    names = dict(zip(ImageNetInfo().label_names(), categories, strict=True))
    for wnid, class_name in classes_of(name):
        assert class_name == names[wnid]


def test_the_thousand_classes_have_names_of_their_own_that_begin_with_torchvisions():
    categories = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    ids = [wnid for wnid, _ in all_classes()]
    assert ids == ImageNetInfo().label_names() == sorted(ids)
    assert len({name.casefold() for _, name in all_classes()}) == 1000
    renamed = [
        (name, category) for (_, name), category in zip(all_classes(), categories, strict=True) if name != category
    ]
    assert all(name.startswith(f"{category} (n") for name, category in renamed)
    assert {category for _, category in renamed} == {"cardigan"}  # the dog is a Cardigan


def test_the_hundred_classes_are_different_and_the_ten_are_their_first():
    hundred = [wnid for wnid, _ in classes_of("imagenet100")]
    assert len(set(hundred)) == 100
    assert classes_of("imageidc") == classes_of("imagenet100")[:10]
