from __future__ import annotations

import torch
from sklearn.datasets import load_digits as load_bundled

from ddbench.dataset import load_dataset


def test_every_image_is_in_exactly_one_split():
    real = load_dataset("digits")
    assert len(real.train) + len(real.test) == 1797
    pixels = torch.cat([real.train.images, real.test.images]).flatten(1)
    source = torch.from_numpy(load_bundled().images).mul(255 / 16).round().to(torch.uint8).flatten(1)
    assert sorted(pixels.tolist()) == sorted(source.tolist())


def test_digits_may_not_be_mirrored():
    assert not load_dataset("digits").info.may_be_mirrored


def test_images_are_grey_bytes_that_use_the_whole_range():
    real = load_dataset("digits")
    assert real.train.images.dtype == torch.uint8
    assert real.train.images.shape[1:] == (1, 8, 8)
    assert (int(real.train.images.min()), int(real.train.images.max())) == (0, 255)


def test_the_split_is_stratified():
    real = load_dataset("digits")
    share = real.test.class_counts() / (real.test.class_counts() + real.train.class_counts())
    assert share.sub(0.2).abs().max() < 0.01


def test_normalised_training_images_have_mean_zero_and_deviation_one():
    images = load_dataset("digits").train.normalised()
    assert abs(images.mean().item()) < 1e-3
    assert abs(images.std().item() - 1) < 1e-3


def test_two_loads_are_equal(tmp_path):
    first, second = load_dataset("digits"), load_dataset("digits", tmp_path)
    assert first.info == second.info
    assert torch.equal(first.train.images, second.train.images)
