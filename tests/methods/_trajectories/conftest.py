"""Fixtures of the tests of trajectories."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ddbench.images import LabeledImages
from tests.methods._trajectories._small_experts import make, seeded


@pytest.fixture
def prepare(toy, context, tmp_path):
    """A function that prepares with seed 3 into a folder of this test and returns the folder."""

    def run(name: str = "experts", train: LabeledImages = toy, track=None, **settings: object) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        ctx = replace(context, cache_dir=folder, generator=seeded(3))
        return make(**settings).prepare(train, ctx if track is None else replace(ctx, track=track))

    return run
