"""Tests of the timm family."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import DropPath
from torch import nn

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.network import InputShape, make_network
from ddbench.networks.timm import choose_stem, scale_patch, stem_candidates


# Stems as we chose them from the models' options; timm's `test_` models are tiny and made for tests.
@pytest.mark.parametrize(
    ("spec", "channels", "size", "stem"),
    [
        ("timm/test_vit", 3, 32, "img_size=32, patch_size=4"),
        ("timm/test_vit", 1, 8, "img_size=8, patch_size=1"),
        ("timm/test_vit", 1, 28, "img_size=28, patch_size=2"),
        ("timm/test_vit", 3, 64, "img_size=64, patch_size=8"),
        ("timm/test_vit", 3, 96, "img_size=96"),
        ("timm/test_convnext", 3, 32, "patch_size=1"),
        ("timm/test_resnet", 3, 32, "timm default"),
        ("timm/test_efficientnet", 1, 28, "timm default"),
    ],
)
def test_stem_is_chosen_by_the_options_of_the_model_and_recorded(spec, channels, size, stem, generator):
    network = make_network(spec, InputShape(channels, size, 7), generator)
    images = torch.randn(2, channels, size, size, generator=generator)
    assert network.stem == stem
    assert network(images).shape == (2, 7)
    assert network.embed(images).ndim == 2


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "resnetv2_18"])
def test_logits_are_those_of_the_model_itself(name, generator):
    network = make_network(f"timm/{name}", InputShape(3, 32, 10), generator).eval()
    images = torch.randn(2, 3, 32, 32, generator=generator)
    torch.testing.assert_close(network(images), network.model(images))


def test_first_and_later_builds_draw_the_same_parameters():
    choose_stem.cache_clear()
    networks = [
        make_network("timm/test_vit", InputShape(3, 32, 10), torch.Generator().manual_seed(3)) for _ in range(2)
    ]
    for first, later in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(first, later)


@pytest.mark.parametrize("name", ["ghostnet_050", "fasternet_t0"])
def test_training_draws_nothing_although_the_model_drops_by_default(name, generator):
    # ghostnet has dropout 0.2, fasternet stochastic depth 0.1 as timm's default.
    network = make_network(f"timm/{name}", InputShape(3, 32, 10), generator).train()
    assert not any(m.p for m in network.modules() if isinstance(m, nn.Dropout))
    assert not any(m.drop_prob for m in network.modules() if isinstance(m, DropPath))
    before = torch.get_rng_state()
    network(torch.randn(2, 3, 32, 32, generator=generator))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("resnet19", "did you mean timm/resnet18"),
        ("resnet18.a1_in1k", "did you mean timm/resnet18"),
        ("hf-hub:some/model", "see timm.list_models"),
        ("-", "see timm.list_models"),
    ],
)
def test_unknown_names_are_refused_with_near_misses(name, advice, generator):
    with pytest.raises(UnknownNameError, match=advice) as caught:
        make_network(f"timm/{name}", InputShape(3, 32, 10), generator)
    assert "\n" not in str(caught.value)


def test_images_too_small_for_the_model_are_refused_in_one_line(generator):
    with pytest.raises(BadInputError, match=r"timm/inception_v3 cannot take 3x32x32 images .*larger images") as caught:
        make_network("timm/inception_v3", InputShape(3, 32, 10), generator)
    assert "\n" not in str(caught.value)


def test_models_with_several_classifiers_are_refused(generator):
    with pytest.raises(BadInputError, match="timm/swiftformer_xs is not one classifier on one embedding"):
        make_network("timm/swiftformer_xs", InputShape(3, 32, 10), generator)


@settings(deadline=None)
@given(patch=st.integers(1, 32), size=st.integers(1, 64))
def test_a_scaled_patch_divides_the_image(patch, size):
    scaled = scale_patch(patch, size)
    assert size % scaled == 0
    assert size // scaled >= 4 or scaled == 1 or scaled <= patch * size / 224


@pytest.mark.parametrize(
    ("patch", "size", "expected"), [(16, 32, 4), (16, 64, 8), (16, 28, 2), (4, 32, 1), (4, 64, 2), (16, 37, 1)]
)
def test_patches_keep_their_share_of_the_image(patch, size, expected):
    assert scale_patch(patch, size) == expected


def test_a_patch_beside_a_stride_is_left_alone():
    assert stem_candidates({"img_size": 224, "patch_size": 16, "stride": 8}, 32) == [{"img_size": 32}, {}]
