"""Tests of the torchvision family."""

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.network import InputShape, make_network


@pytest.mark.parametrize(
    ("name", "size", "stem"),
    [
        ("resnet18", 32, "torchvision default"),
        ("shufflenet_v2_x0_5", 64, "torchvision default"),
        ("mobilenet_v3_small", 32, "torchvision default"),
        ("swin_t", 32, "torchvision default"),
        ("vit_b_32", 32, "image_size=32"),
    ],
)
def test_models_of_every_form_are_one_classifier_on_one_embedding(name, size, stem, generator):
    network = make_network(f"torchvision/{name}", InputShape(3, size, 7), generator).eval()
    images = torch.randn(2, 3, size, size, generator=generator)
    assert network.stem == stem
    assert network(images).shape == (2, 7)
    assert torch.equal(network(images), network.classifier(network.embed(images)))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small"])
def test_logits_are_those_of_torchvisions_own_model_under_its_own_names(name, generator):
    network = make_network(f"torchvision/{name}", InputShape(3, 64, 7), generator).eval()
    model = models.get_model(name, num_classes=7).eval()
    renamed = {network.own_key(key): value for key, value in model.state_dict().items()}
    network.load_state_dict(renamed)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    assert torch.equal(network(images), model(images))


def test_old_names_of_densenet_and_auxiliary_classifiers_are_known(generator):
    network = make_network("torchvision/densenet121", InputShape(3, 32, 7), generator)
    old, new = (f"features.denseblock1.denselayer2.norm{form}1.weight" for form in (".", ""))
    assert network.own_key(old) == network.own_key(new) == f"model.{new}"
    assert network.own_key("classifier.weight") == "classifier.weight"
    assert network.own_key("AuxLogits.fc.weight") is None


def test_training_draws_nothing_although_the_model_drops_by_default(generator):
    network = make_network("torchvision/efficientnet_b0", InputShape(3, 32, 10), generator).train()
    dropping = [m for m in network.modules() if isinstance(m, nn.Dropout | StochasticDepth)]
    assert {type(module) for module in dropping} == {nn.Dropout, StochasticDepth}
    assert not any(module.p for module in dropping)
    before = torch.get_rng_state()
    network(torch.randn(2, 3, 32, 32, generator=generator))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spec", "shape", "error", "message"),
    [
        ("torchvision/resnet19", InputShape(3, 32, 10), UnknownNameError, "did you mean torchvision/resnet18"),
        ("torchvision/-", InputShape(3, 32, 10), UnknownNameError, "see torchvision.models.list_models"),
        ("torchvision/resnet18", InputShape(1, 28, 10), BadInputError, "3 channels, got 1; use a network of timm"),
        ("torchvision/alexnet", InputShape(3, 32, 10), BadInputError, "cannot take 3x32x32 images .*larger images"),
        ("torchvision/squeezenet1_1", InputShape(3, 64, 10), BadInputError, "not one classifier on one embedding"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(spec, shape, error, message, generator):
    with pytest.raises(error, match=message) as caught:
        make_network(spec, shape, generator)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mnasnet0_5", "resnet18"])
def test_a_state_from_a_file_of_tensors_which_names_no_versions_is_taken(name, generator):
    network, other = (make_network(f"torchvision/{name}", InputShape(3, 32, 4), generator) for _ in range(2))
    other.load_state_dict(load(save(network.state_dict())))
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})
