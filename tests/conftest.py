"""Fixtures and options shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ddbench.dataset import DATA_DIR_VARIABLE


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it are skipped, with the reason, where there is none."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"needs real data: set {DATA_DIR_VARIABLE} to a folder of data sets")
    return Path(folder)


@pytest.fixture
def generator() -> torch.Generator:
    """A CPU generator with a fixed seed."""
    return torch.Generator().manual_seed(0)
