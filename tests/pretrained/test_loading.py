"""Tests of networks loaded for a data set: rows by WordNet id, normalisation, and what does not fit."""

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.host.files import sha256_of
from ddbench.network import InputShape, make_network
from ddbench.pretrained.loading import load_given, load_kept
from ddbench.training_recipe import TeacherNetwork
from tests._weights import BIRDS, IMAGENET, OTHER, lively, toy_subset

SMALL = TeacherNetwork(network="torchvision/shufflenet_v2_x0_5", weights="torchvision/shufflenet_v2_x0_5")
TIMM = TeacherNetwork(network="timm/test_resnet", weights="timm/test_resnet.r160_in1k")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_MODEL_DIR", str(tmp_path))
    for name in ("torchvision", "timm"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def of_torchvision(folder):
    model = lively(models.shufflenet_v2_x0_5())
    torch.save(model.state_dict(), folder / "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth")
    return model


@pytest.fixture
def of_timm(folder):
    model = lively(timm.create_model("test_resnet"))
    save_file(model.state_dict(), folder / "timm/test_resnet.r160_in1k.safetensors")
    return model


def in_file(path, network="torchvision/shufflenet_v2_x0_5", **fields):
    return TeacherNetwork(network=network, path=str(path), sha256=sha256_of(path), **fields)


def normalised(real, constants):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in constants)
    return (real.train.images.float() / 255 - mean) / std


@torch.no_grad()
@pytest.mark.parametrize("constants", [IMAGENET, OTHER])
@pytest.mark.parametrize(
    ("given", "fixture", "trained_on"),
    [(SMALL, "of_torchvision", IMAGENET), (TIMM, "of_timm", ((0.5,) * 3, (0.5,) * 3))],
)
def test_published_weights_give_the_models_logits_of_the_data_sets_classes(
    given, fixture, trained_on, constants, request
):
    model, real = request.getfixturevalue(fixture), toy_subset(normalised=constants)
    loaded = load_given(given, real.info)
    expected = model(normalised(real, trained_on))[:, list(BIRDS.values())]
    found = loaded.network.eval()(real.info.normalise(real.train.images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    kept = load_kept(given, loaded.tensors, real.info).eval()
    assert torch.equal(kept(real.info.normalise(real.train.images)), found)


@torch.no_grad()
def test_a_head_of_its_own_is_used_as_it_is_under_the_data_sets_normalisation(folder):
    model, real = lively(models.shufflenet_v2_x0_5(num_classes=3)), toy_subset(normalised=OTHER)
    torch.save(model.state_dict(), folder / "own.pth")
    images = real.info.normalise(real.train.images)
    torch.testing.assert_close(load_given(in_file(folder / "own.pth"), real.info).network.eval()(images), model(images))
    as_imagenet = load_given(in_file(folder / "own.pth", normalisation="imagenet"), real.info).network.eval()
    torch.testing.assert_close(as_imagenet(images), model(normalised(real, IMAGENET)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_file_of_imagenets_classes_needs_to_say_how_its_images_were_normalised(folder):
    model = lively(models.shufflenet_v2_x0_5())
    torch.save(model.state_dict(), folder / "whole.pth")
    usual, other = toy_subset(), toy_subset(normalised=OTHER)
    expected = model(normalised(usual, IMAGENET))[:, list(BIRDS.values())]
    found = load_given(in_file(folder / "whole.pth"), usual.info).network.eval()
    torch.testing.assert_close(found(usual.info.normalise(usual.train.images)), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(BadInputError, match=r"teacher_normalisation=imagenet or teacher_normalisation=dataset$"):
        load_given(in_file(folder / "whole.pth"), other.info)
    said = load_given(in_file(folder / "whole.pth", normalisation="imagenet"), other.info).network.eval()
    torch.testing.assert_close(said(other.info.normalise(other.train.images)), expected, rtol=1e-4, atol=1e-4)
    plain = load_given(in_file(folder / "whole.pth", normalisation="dataset"), other.info).network
    assert not hasattr(plain, "scale")


def test_the_digest_is_that_of_the_file(folder, of_torchvision):
    path = folder / "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth"
    assert load_given(SMALL, toy_subset().info).sha256 == sha256_of(path)
    with pytest.raises(DataMismatchError, match="has changed since the run began"):
        load_given(SMALL.model_copy(update={"sha256": "0" * 64}), toy_subset().info)


def test_a_thousand_classes_out_of_order_are_refused(of_torchvision):
    ids = tuple(f"n{number:08}" for number in range(1000))
    names = tuple(map(str, range(1000)))
    info = replace(toy_subset().info, class_names=names, class_ids=ids)
    with pytest.raises(BadInputError, match="is not one of ImageNet's 1,000"):
        load_given(SMALL, info)
    from timm.data import ImageNetInfo

    sorted_ids = tuple(ImageNetInfo().label_names())
    with pytest.raises(BadInputError, match="not in the order of their WordNet ids"):
        load_given(SMALL, replace(info, class_ids=sorted_ids[::-1]))
    assert load_given(SMALL, replace(info, class_ids=sorted_ids)).network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"class_ids": ()},
            "the classes of toy have no WordNet ids, which torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1",
        ),
        (
            {"class_ids": ("n1", "n01440764", "n02102040")},
            "class n1 of toy is not one of ImageNet's 1,000; take another",
        ),
        ({"channels": 1, "mean": (0.5,), "std": (0.5,)}, "takes images of 3 channels, toy has 1; take another teacher"),
    ],
)
def test_data_sets_that_published_weights_are_not_for(changes, message, of_torchvision):
    with pytest.raises(BadInputError) as caught:
        load_given(SMALL, replace(toy_subset().info, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_other_classes_and_missing_ones_are_refused():
    with pytest.raises(BadInputError, match=r"have 21843 outputs, not ImageNet's 1,000|have 21841 outputs"):
        load_given(
            TeacherNetwork(network="timm/vit_base_patch16_224", weights="timm/vit_base_patch16_224.augreg_in21k"),
            toy_subset().info,
        )
    with pytest.raises(DataMissingError, match=r"no weights torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1 on this"):
        load_given(SMALL, toy_subset().info)


@pytest.mark.parametrize(
    ("classes", "ids", "message"),
    [
        (7, tuple(BIRDS), "knows 7 classes and toy has 3, not ImageNet's by WordNet id"),
        (1000, (), "knows 1000 classes and toy has 3, not ImageNet's by WordNet id"),
    ],
)
def test_a_wrong_number_of_classes_is_told(classes, ids, message, folder):
    torch.save(models.shufflenet_v2_x0_5(num_classes=classes).state_dict(), folder / "w.pth")
    with pytest.raises(BadInputError, match=message):
        load_given(in_file(folder / "w.pth"), replace(toy_subset().info, class_ids=ids))


def test_weights_of_another_network_or_size_are_told(folder, of_torchvision):
    path = folder / "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1.pth"
    with pytest.raises(BadInputError, match=r"does not fit network convnet-d1-w8 on toy: .*teacher_network=NETWORK"):
        load_given(in_file(path, "convnet-d1-w8"), toy_subset().info)
    vit = make_network("timm/test_vit", InputShape(3, 160, 3), torch.Generator())
    save_file({k.removeprefix("model."): v for k, v in vit.state_dict().items()}, folder / "vit.safetensors")
    with pytest.raises(BadInputError, match=r"pos_embed should be \(1, 65, 64\), found \(1, 101, 64\)"):
        load_given(in_file(folder / "vit.safetensors", "timm/test_vit"), toy_subset().info)
