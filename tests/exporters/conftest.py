"""Distilled sets of every kind, from digits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ddbench.augment.zca import fit_zca, whiten
from ddbench.dataset import load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import RealDataset

KINDS = ("pixels", "float pixels", "normalised", "half", "soft", "zca", "uneven", "decoded")


@pytest.fixture(scope="session")
def digits() -> RealDataset:
    """The whole data set."""
    return load_dataset("digits")


@pytest.fixture
def make(digits: RealDataset) -> Callable[[str], DistilledDataset]:
    """A function that makes a set of one of `KINDS`: two images a class, values beyond those of real pixels."""

    def make(kind: str) -> DistilledDataset:
        rows = torch.cat([digits.train.of_class(label)[:2] for label in range(10)])
        rows = rows[1:] if kind == "uneven" else rows
        pixels, labels = digits.train.pixels(rows), digits.train.labels[rows]
        learned = digits.info.normalise(pixels) * 1.25 + 0.1
        whitening = fit_zca(digits.train) if kind == "zca" else None
        origin = {
            "method": "toy",
            "dataset": "digits",
            "dataset_fingerprint": digits.info.fingerprint,
            "distill_seed": 3,
        }
        images = {
            "pixels": pixels,
            "float pixels": pixels.float() / 255,
            "half": learned.half(),
            "zca": whiten(pixels, whitening) if whitening else None,
        }.get(kind, learned)
        soft = (torch.nn.functional.one_hot(labels, 10) * 4.0).softmax(1)
        return DistilledDataset(
            images,
            soft if kind == "soft" else labels,
            10,
            2,
            {"pixels": "pixels", "float pixels": "pixels", "zca": "zca"}.get(kind, "normalised"),
            student_lr=0.0213 if kind in ("soft", "zca") else None,
            whitening=whitening,
            provenance={**origin, "pixel_margin": "unbounded"},
            uneven=kind == "uneven",
            decode_factor=2 if kind == "decoded" else 1,
        )

    return make
