"""Tests of published weights by name: what the libraries themselves say of them."""

import pytest
import timm
from torchvision import models

from ddbench.errors import UnknownNameError
from ddbench.pretrained.published import find_published
from tests._weights import IMAGENET


def test_torchvisions_first_entry_is_taken_where_none_is_named():
    found, second = find_published("torchvision/resnet50"), find_published("torchvision/resnet50.IMAGENET1K_V2")
    first = models.ResNet50_Weights.IMAGENET1K_V1
    assert (found.name, found.network) == ("torchvision/resnet50.IMAGENET1K_V1", "torchvision/resnet50")
    assert (found.address, found.num_classes) == (first.url, 1000)
    assert found.file_name == first.url.rpartition("/")[2] != second.file_name
    assert (found.mean, found.std) == IMAGENET


def test_what_torchvision_shifts_inside_a_model_is_part_of_its_normalisation():
    found = find_published("torchvision/inception_v3")
    assert (found.mean, found.std) == ((0.5,) * 3, (0.5,) * 3)


def test_timms_default_is_taken_where_no_tag_is_named():
    found = find_published("timm/resnet18")
    entry = timm.get_pretrained_cfg("resnet18")
    assert found == find_published(f"timm/resnet18.{entry.tag}")
    assert (found.hub_id, found.network) == (f"timm/resnet18.{entry.tag}", "timm/resnet18")
    assert (found.mean, found.std) == (entry.mean, entry.std)
    small = find_published("timm/test_resnet")
    assert (small.mean, small.file_name) == ((0.5,) * 3, "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/resnet19", "torchvision has no model 'resnet19'; did you mean"),
        ("torchvision/resnet18.V9", "torchvision/resnet18 has no weights 'V9'; it has IMAGENET1K_V1"),
        ("timm/resnet18.tv", "timm/resnet18 has no weights 'tv'; it has a1_in1k, "),
        ("timm/resnet19", "timm has no model 'resnet19'; did you mean"),
        ("timm/resnet10", "did you mean"),
        ("convnet-d3", "named torchvision/NAME or timm/NAME, got 'convnet-d3'"),
    ],
)
def test_what_nobody_publishes_is_told_in_one_line(name, message):
    with pytest.raises(UnknownNameError) as caught:
        find_published(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_without_weights_are_told():
    bare = next(name for name in timm.list_models() if not timm.list_pretrained(name))
    with pytest.raises(UnknownNameError, match=f"no weights of timm/{bare} are published"):
        find_published(f"timm/{bare}")
