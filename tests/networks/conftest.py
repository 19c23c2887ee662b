"""Fixtures for tests of networks."""

from collections.abc import Callable

import pytest
import torch

from ddbench.inputs.network_names import split_spec
from ddbench.network import InputShape, Network
from ddbench.registry import NETWORKS


@pytest.fixture
def build_without_values() -> Callable[[str, int, int], Network]:
    """Build a network of ten classes whose parameters have shapes but no values, which takes no time."""

    def build(spec: str, channels: int, size: int) -> Network:
        family, variant = split_spec(spec)
        with torch.device("meta"):
            return NETWORKS.get(family)(variant, InputShape(channels, size, 10))

    return build
