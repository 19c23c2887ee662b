"""A small run for the tests of evaluators."""

from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.evaluator import DistillRun
from ddbench.images import RealDataset
from ddbench.records import Phase, Reading
from ddbench.testing import SMOKE_PROTOCOL


@pytest.fixture(scope="session")
def real() -> RealDataset:
    """The 8x8 digits."""
    return load_dataset("digits")


@pytest.fixture
def run(real: RealDataset) -> DistillRun:
    """Two students on one image per class; two phases measured on a GPU, one on a CPU."""
    chosen = torch.stack([real.train.of_class(label)[0] for label in range(10)])
    distilled = DistilledDataset(real.train.pixels(chosen), torch.arange(10), 10, ipc=1, space="pixels")
    on_gpu = {"peak_allocated_bytes": 30, "peak_reserved_bytes": 40}
    phases = (
        Phase(name="first_use", reading=Reading(seconds=0.25, peak_host_bytes=0)),
        Phase(name="prepare", reading=Reading(seconds=7.5, peak_host_bytes=60, **on_gpu), cached=True),
        Phase(name="distill", reading=Reading(seconds=2.0, **on_gpu)),
    )
    return DistillRun(distilled, SMOKE_PROTOCOL, "mlp-w4", students=2, eval_seed=0, distill_seed=0, phases=phases)
