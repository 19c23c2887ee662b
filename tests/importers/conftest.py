"""Sets of digits as other programs hold them, and files as their saving code writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import RealDataset
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import Imported, import_set

IPC = 2


@pytest.fixture(scope="session")
def digits() -> RealDataset:
    """The whole data set."""
    return load_dataset("digits")


@pytest.fixture
def pixels(digits: RealDataset) -> Tensor:
    """(20, 1, 8, 8) uint8: the first two images of each class."""
    return digits.train.pixels(torch.cat([digits.train.of_class(label)[:IPC] for label in range(10)]))


@pytest.fixture
def labels() -> Tensor:
    """(20,) int64."""
    return torch.arange(10).repeat_interleave(IPC)


@pytest.fixture
def normalised(digits: RealDataset, pixels: Tensor) -> Tensor:
    """(20, 1, 8, 8) float32."""
    return digits.info.normalise(pixels)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """A function that saves what it is given with torch, as from a GPU if told, and returns the file."""

    def save(content: object, name: str, *, on_gpu: bool = False) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            if on_gpu:  # the tag that a tensor on a GPU is saved with
                patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
            torch.save(content, path)
        return path

    return save


@pytest.fixture
def imported(digits: RealDataset) -> Callable[..., Imported]:
    """A function that imports a source for digits: source, format and what the user says."""

    def bring_in(source: Path, form: str, **told: object) -> Imported:
        return import_set(source, form, digits, SourceFacts(**told))  # type: ignore[arg-type]

    return bring_in


@pytest.fixture
def by_hand(normalised: Tensor, labels: Tensor) -> DistilledDataset:
    """The set that a user would make of the same tensors."""
    return DistilledDataset(normalised, labels, 10, IPC)
