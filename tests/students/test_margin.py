"""Tests of test images that are the middle of larger ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from ddbench import load_dataset
from ddbench.dataset import make_real_dataset
from ddbench.datasets import _image_files
from ddbench.images import RealDataset
from ddbench.students.margin import with_margin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("a", "b"):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for at, shape in enumerate([(90, 131, 3), (75, 75, 3), (101, 80, 3)]):
                pixels = draws.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{at}.png")
    return tmp_path / "images"


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("held", [True, False])
def test_files_are_read_as_the_authors_test_transform_reads_them(folder, held, monkeypatch):
    if not held:
        monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 0)
    real = load_dataset(f"image_folder:{folder},size=56")
    seen = with_margin(real.test)
    theirs = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(56), transforms.PILToTensor()])
    for label, name in enumerate(("a", "b")):
        for at in range(3):
            expected = theirs(Image.open(folder / "test" / name / f"{at}.png"))
            assert torch.equal(seen.pixels(torch.tensor([3 * label + at]))[0], expected)
    assert seen.images.shape == (6, 3, 56, 56)
    assert torch.equal(seen.labels, real.test.labels)


def noise(side: int) -> RealDataset:
    images = torch.randint(256, (4, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = images, torch.tensor([0, 1, 0, 1])
    return make_real_dataset("noise", split, split, class_names=("a", "b"), mean=(0.5,) * 3, std=(0.2,) * 3)


def test_images_that_come_in_one_size_are_scaled_up():
    test = noise(64).test
    seen = with_margin(test).pixels(torch.tensor([2]))[0]
    picture = Image.fromarray(test.images[2].permute(1, 2, 0).numpy())
    expected = transforms.Compose([transforms.Resize(72), transforms.CenterCrop(64), transforms.PILToTensor()])(picture)
    assert (seen.int() - expected.int()).abs().max() <= 1


def test_small_images_stay_as_they_are():
    for side in (8, 28, 32):
        test = noise(side).test
        assert side // 7 * 8 <= side or side == 28
        assert (with_margin(test) is test) == (side != 28)
