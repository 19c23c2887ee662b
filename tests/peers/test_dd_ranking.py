"""Tests of what DD-Ranking is given, and of what its configs mean here."""

import pytest
import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import UnsupportedError
from ddbench.images import DatasetInfo
from ddbench.peers.dd_ranking import CONSTANTS, differences, equivalent_command, network_name, to_dd_ranking


def info_of(name, channels=3):
    return DatasetInfo(name, ("a", "b"), channels, 4, (0.4,) * channels, (0.2,) * channels, "f")


def test_images_are_sorted_by_class_and_normalised_by_its_constants():
    images = torch.rand(4, 3, 4, 4)
    made = DistilledDataset(images, torch.tensor([1, 0, 1, 0]), 2, 2, "pixels", student_lr=0.02)
    given = to_dd_ranking(made, info_of("cifar100"))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in CONSTANTS["cifar100"])
    assert torch.allclose(given.image_tensor, ((images - mean) / std)[[1, 3, 0, 2]], atol=1e-6)
    assert given.soft_labels is None
    assert given.syn_lr == 0.02
    assert given.settings == {"ipc": 2, "im_size": [4, 4], "use_zca": False}


def test_soft_labels_are_logits_whose_softmax_they_are():
    labels = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    made = DistilledDataset(torch.zeros(2, 1, 4, 4), labels, 2, 1)
    given = to_dd_ranking(made, info_of("toy", 1))
    assert torch.allclose(given.soft_labels.softmax(1), labels[[1, 0]], atol=1e-6)
    assert torch.equal(given.image_tensor, made.images)  # normalised by the data set's own already


def test_what_it_cannot_take_is_refused():
    made = DistilledDataset(torch.zeros(3, 1, 4, 4), torch.tensor([0, 0, 1]), 2, 2, uneven=True)
    soft = DistilledDataset(torch.zeros(4, 1, 4, 4), torch.tensor([[0.9, 0.1]] * 4), 2, 2)
    for wrong in (made, soft):
        with pytest.raises(UnsupportedError, match="not classes of different size; export it as tensors"):
            to_dd_ranking(wrong, info_of("toy", 1))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ConvNet-3", "convnet-d3"),
        ("ConvNet-4-BN", "convnet-d4-bn"),
        ("ResNet-18-BN", "resnet18-bn"),
        ("AlexNet-BN", "alexnet-bn"),
        ("MLP", "mlp"),
        ("VGG-11", "vgg11"),
        ("Swin", None),
        (None, None),
    ],
)
def test_networks_have_our_names(theirs, ours):
    assert network_name(theirs) == ours


def test_a_config_gives_a_command_and_what_it_does_not_do():
    config = {"dataset": "CIFAR-10", "model_name": "ResNet-18-BN", "data_aug_func": "dsa", "num_epochs": 1000}
    assert equivalent_command(config) == (
        "ddbench evaluate SET --dataset cifar10 --protocol dsa --network resnet18-bn --students 5 "
        "--evaluator accuracy --evaluator lrs"
    )
    assert differences(config) == [
        "DD-Ranking keeps its best test and searches rates on the test set; here the last epoch counts"
    ]
    other = {"dataset": "TinyImageNet", "model_name": "Swin-T", "data_aug_func": "dsa"}
    assert "--dataset tiny_imagenet --protocol dsa --network convnet-d3 " in equivalent_command(other)
    assert "network Swin-T has no name here; convnet-d3 stands in its place" in differences(other)
    assert "momentum is 0.8 there, 0.9 under protocol dsa" in differences({**config, "momentum": 0.8})
