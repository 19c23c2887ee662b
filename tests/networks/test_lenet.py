"""Tests of LeNet."""

import pytest
import torch

from ddbench.errors import BadInputError
from ddbench.network import InputShape, make_network


@pytest.mark.parametrize(("channels", "size", "count"), [(3, 32, 62_006), (1, 28, 61_706)])
def test_parameter_counts_are_those_of_the_reference(channels, size, count, generator):
    # Counted by running VICO-UoE/DatasetCondensation's LeNet; 61,706 is also LeCun's LeNet-5 with plain layers.
    network = make_network("lenet", InputShape(channels, size, 10), generator)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("channels", "size"), [(1, 12), (3, 16), (3, 17), (3, 64)])
def test_other_sizes_fit(channels, size, generator):
    network = make_network("lenet", InputShape(channels, size, 10), generator)
    images = torch.randn(2, channels, size, size, generator=generator)
    assert network.embed(images).shape == (2, 84)
    assert network(images).shape == (2, 10)


@pytest.mark.parametrize(("channels", "size", "smallest"), [(1, 11, 12), (3, 15, 16), (1, 8, 12)])
def test_too_small_images_are_refused_with_the_smallest_size(channels, size, smallest, generator):
    with pytest.raises(BadInputError, match=rf"at least {smallest} px with {channels} channel.*got {size}"):
        make_network("lenet", InputShape(channels, size, 10), generator)


def test_there_are_no_variants(generator):
    with pytest.raises(BadInputError, match=r"no option '5'; known options: none"):
        make_network("lenet5", InputShape(3, 32, 10), generator)
