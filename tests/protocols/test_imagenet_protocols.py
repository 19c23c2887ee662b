"""Tests of the ImageNet protocols from end to end: a folder of images that is streamed, and real photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddbench import distill, evaluate, load_dataset
from ddbench.datasets import _image_files
from ddbench.host.files import CACHE_DIR_VARIABLE, baselines_dir
from ddbench.protocol import PROTOCOLS, Schedule
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_runner import run_suite

SHORT = Schedule(epochs=2, drop_at=1)
PROTOCOL = PROTOCOLS.get("imagenet-hard").model_copy(
    update={"name": "short", "network": "convnet-d2-w8", "schedule": SHORT, "real_schedule": SHORT, "batch_size": 4}
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of noise of different brightness, six images to train on and four to test."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    draws = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for label, low in (("dark", 0), ("light", 120)):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = draws.integers(low, low + 130, (20, 26, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.usefixtures("own_cache")
def test_the_whole_of_a_folder_too_large_to_hold_gives_the_number_of_one_that_is_held(folder, monkeypatch):
    spec, accuracies = f"image_folder:{folder},size=16", []
    for limit in (2**30, 0):
        monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", limit)
        real = load_dataset(spec)
        distilled = distill("full_real", real, 1)
        assert distilled.is_streamed == (limit == 0)
        result = evaluate(distilled, real, PROTOCOL, students=2, device="cpu")
        accuracies.append(result.metric("test_accuracy").values)
        assert result.distilled_bytes == 12 * (3 * 16 * 16 + 8)
    assert accuracies[0] == accuracies[1]


@pytest.mark.usefixtures("own_cache")
def test_a_method_takes_its_images_from_a_folder_too_large_to_hold(folder, monkeypatch):
    held = distill("random_real", f"image_folder:{folder},size=16", 3)
    monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 0)
    streamed = distill("random_real", load_dataset(f"image_folder:{folder},size=16"), 3)
    assert (held.images == streamed.images).all()
    assert (held.labels == streamed.labels).all()


@pytest.mark.data
@pytest.mark.long  # trains a teacher and two students: minutes on two cores
@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("name", ["imagenette_small", "imagenette_small_soft"])
def test_random_images_are_clearly_better_than_chance(name, data_dir, tmp_path):
    suite = load_suite(baselines_dir() / "suites" / f"{name}.yaml").model_copy(update={"distill_seeds": (0,)})
    (result,) = run_suite(suite, tmp_path / "results", replace(RunOptions(), data_dir=data_dir))
    # Chance is 10 %, with a standard error of 1.3 on 500 test images: five of them above it.
    assert result.status == "ok"
    assert result.metric("test_accuracy").mean > 0.167
