"""What every data set must keep to."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.dataset import load_dataset, parse_spec
from ddbench.errors import BadInputError
from ddbench.images import LabeledImages, RealDataset

MOST_READ = 512  # images of a split: those of a large data set are decoded one by one


class DatasetContract:
    """What methods, students and tables rely on in a data set. Set `name`.

    Class attributes:
        name: registered name, with a path and options where it takes them; its files must be there.
    """

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def real(cls) -> RealDataset:
        """The data set."""
        return load_dataset(cls.name)

    def test_images_are_bytes_of_the_shape_announced(self, real: RealDataset) -> None:
        """Both splits give (n, C, H, W) uint8 and have int64 labels (N,), as many as images."""
        info = real.info
        for split in (real.train, real.test):
            count = split.images.shape[0]
            expected = (count, info.channels, info.image_size, info.image_size)
            assert tuple(split.images.shape) == expected, f"images must be {expected}, are {tuple(split.images.shape)}"
            pixels = _some_pixels(split)
            assert pixels.dtype == torch.uint8, f"images must be uint8, are {pixels.dtype}"
            assert tuple(pixels.shape[1:]) == expected[1:], f"images read are {tuple(pixels.shape[1:])}"
            labels = split.labels
            assert labels.dtype == torch.int64, f"labels must be int64, are {labels.dtype}"
            assert tuple(labels.shape) == (count,), f"labels must be ({count},), are {tuple(labels.shape)}"

    def test_labels_lie_in_range_and_no_class_is_empty(self, real: RealDataset) -> None:
        """Labels are 0..K-1, and every class has an image to train on and one to test on."""
        for split, what in ((real.train, "training"), (real.test, "test")):
            low, high = int(split.labels.min()), int(split.labels.max())
            assert low >= 0, f"labels must lie in 0..{split.num_classes - 1}, the lowest is {low}"
            assert high < split.num_classes, f"labels must lie in 0..{split.num_classes - 1}, the highest is {high}"
            empty = (split.class_counts() == 0).nonzero().flatten().tolist()
            assert not empty, f"class {real.info.class_names[empty[0]]} has no {what} image"

    def test_class_names_are_unique(self, real: RealDataset) -> None:
        """Every class has a name of its own, and all or none have an id."""
        names, ids = real.info.class_names, real.info.class_ids
        assert len(names) >= 2, "a data set needs two classes"
        assert all(names), "a class has an empty name"
        twice = [name for name in names if names.count(name) > 1]
        assert not twice, f"two classes are called {twice[0]!r}"
        assert len(ids) in (0, len(names)), f"class_ids must be none or one for each class, are {len(ids)}"

    def test_mean_and_std_fit_the_stored_pixels(self, real: RealDataset) -> None:
        """One of each per channel, of pixels in [0, 1]; normalised images lie near mean 0 and deviation 1.

        Near, because the field uses constants of ImageNet for other photos and CIFAR's are not exactly its own: the
        bounds catch a scale of 0..255, swapped mean and std, and constants of another kind of image.
        """
        info = real.info
        for what, values in (("mean", info.mean), ("std", info.std)):
            assert len(values) == info.channels, f"{what} must have {info.channels} values, has {len(values)}"
        assert min(info.std) > 0, f"std must be positive, is {min(info.std)}"
        images = info.normalise(_some_pixels(real.train))
        for channel, (mean, std) in enumerate(zip(images.mean((0, 2, 3)), images.std((0, 2, 3)), strict=True)):
            assert abs(float(mean)) < 0.75, f"normalised channel {channel} has mean {float(mean):.2f}, expected near 0"
            assert 0.5 < float(std) < 2, f"normalised channel {channel} has std {float(std):.2f}, expected near 1"

    def test_two_loads_are_equal(self, real: RealDataset) -> None:
        """Same fingerprint, labels and images: the split is fixed and nothing is shuffled."""
        again = load_dataset(self.name)
        assert again.info == real.info, "info differs between two loads"
        for first, second in ((real.train, again.train), (real.test, again.test)):
            assert torch.equal(first.labels, second.labels), "labels differ between two loads"
            assert torch.equal(_some_pixels(first), _some_pixels(second)), "images differ between two loads"

    def test_both_splits_carry_the_data_sets_info(self, real: RealDataset) -> None:
        """One identity: name as registered, a fingerprint, one info for the set and its splits."""
        info, name = real.info, parse_spec(self.name)[0]
        assert real.train.info == info == real.test.info, "train, test and the data set carry different infos"
        assert parse_spec(info.name)[0] == name, f"info.name must begin with {name}, is {info.name!r}"
        assert info.fingerprint, "the fingerprint is empty; make_real_dataset computes it"

    def test_train_and_test_are_different_objects(self, real: RealDataset) -> None:
        """What a method does to training images must not reach those it is judged on."""
        train, test = real.train, real.test
        assert train.images is not test.images, "train and test are the same images"
        for first, second in ((train.images, test.images), (train.labels, test.labels)):
            if isinstance(first, Tensor) and isinstance(second, Tensor):
                assert not _share_memory(first, second), "train and test share memory"
        if train.images.shape == test.images.shape:
            assert not torch.equal(_some_pixels(train), _some_pixels(test)), "train and test hold the same images"

    def test_unknown_option_is_refused_in_one_line(self) -> None:
        """A mistyped option must not give other data in silence."""
        with pytest.raises(BadInputError) as caught:
            load_dataset(self.name, no_such_option="1")
        assert "no_such_option" in str(caught.value), "the message must name the option"
        assert "\n" not in str(caught.value), "the message must be one line"


def _some_pixels(split: LabeledImages) -> Tensor:
    """Return up to `MOST_READ` images, spread evenly over the split."""
    count = len(split)
    return split.pixels(torch.arange(min(count, MOST_READ)) * count // min(count, MOST_READ))


def _share_memory(first: Tensor, second: Tensor) -> bool:
    """Return whether the bytes of two tensors overlap, as far as they lie in one piece."""
    starts = (first.data_ptr(), second.data_ptr())
    ends = (starts[0] + first.numel() * first.element_size(), starts[1] + second.numel() * second.element_size())
    return starts[0] < ends[1] and starts[1] < ends[0]
