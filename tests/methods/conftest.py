"""Features of the small training split, for the tests of methods that select by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.method import RunContext
from ddbench.methods._coresets.features import FEATURES_FILE


@pytest.fixture
def toy_features() -> Tensor:
    """Features of the images of `toy`, (27, 5) float32."""
    return torch.randn(27, 5, generator=torch.Generator().manual_seed(12))


@pytest.fixture
def prepared(context: RunContext, toy_features: Tensor, tmp_path: Path) -> RunContext:
    """A context whose prepared folder holds `toy_features`."""
    save_file({"features": toy_features}, tmp_path / FEATURES_FILE)
    return replace(context, prepared=tmp_path)
