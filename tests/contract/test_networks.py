"""The contract, run on every family of networks, in the variants that differ in more than size."""

from __future__ import annotations

import pytest

from ddbench.inputs.network_names import split_spec
from ddbench.registry import NETWORKS
from ddbench.testing import NetworkContract

VARIANTS = (
    "alexnet",
    "alexnet-bn",
    "convnet-d3-w16",
    "convnet-d2-w16-bn-max",
    "convnet-d2-w16-ln-leaky",
    "convnet-d1-w8-none-sigmoid-nopool",
    "lenet",
    "mlp",
    "resnet10",
    "resnet10-bn-ap",
    "resnet_ap10-w16",
    "resnet_ap10-w16-bn",
    "timm/resnet10t",
    "timm/test_vit",
    "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5",
    "vgg11",
    "vgg11-bn",
)


def contract_of(name: str) -> type[NetworkContract]:
    """Return a test class for one variant."""
    return type(f"Test_{name}", (NetworkContract,), {"name": name, "__module__": __name__})


globals().update({f"Test_{name}": contract_of(name) for name in VARIANTS})


@pytest.mark.parametrize("family", NETWORKS.names())
def test_every_family_has_a_suite(family):
    assert family in {split_spec(name)[0] for name in VARIANTS}
