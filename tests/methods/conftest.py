"""Small training splits and contexts for the tests of methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.method import RunContext
from ddbench.methods._features import FEATURES_FILE
from ddbench.records import DatasetInfo, LabeledImages


@pytest.fixture(scope="session")
def digits() -> LabeledImages:
    """The training split of the 8x8 digits."""
    return load_dataset("digits").train


@pytest.fixture
def toy() -> LabeledImages:
    """Three classes of 9, 7 and 11 colour images of 8 px, in mixed order."""
    draws = torch.Generator().manual_seed(11)
    labels = torch.tensor([0] * 9 + [1] * 7 + [2] * 11)[torch.randperm(27, generator=draws)]
    images = torch.randint(256, (27, 3, 8, 8), dtype=torch.uint8, generator=draws)
    info = DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "toy")
    return LabeledImages(images, labels, info)


@pytest.fixture
def context(tmp_path: Path, generator: torch.Generator) -> RunContext:
    """A context on the CPU, with its own generator and scratch folder."""
    return RunContext(torch.device("cpu"), generator, tmp_path)


@pytest.fixture
def toy_features() -> Tensor:
    """Features of the images of `toy`, (27, 5) float32."""
    return torch.randn(27, 5, generator=torch.Generator().manual_seed(12))


@pytest.fixture
def prepared(context: RunContext, toy_features: Tensor, tmp_path: Path) -> RunContext:
    """A context whose prepared folder holds `toy_features`."""
    save_file({"features": toy_features}, tmp_path / FEATURES_FILE)
    return replace(context, prepared=tmp_path)
