"""Tests of distilled sets and of images: what is refused, normalisation and its inverse, reading like held images."""

import hashlib
import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo, LabeledImages, Whitening
from ddbench.records import Metric

NAN, INFINITY = float("nan"), float("inf")


def make_info(channels=3, num_classes=3, size=4):
    return DatasetInfo(
        name="small",
        class_names=tuple(f"class {label}" for label in range(num_classes)),
        channels=channels,
        image_size=size,
        mean=(0.5, 0.4, 0.3)[:channels],
        std=(0.25, 0.2, 0.1)[:channels],
        fingerprint="f",
    )


def make_set(**changes):
    """A valid set of 3 classes at ipc 2, with `changes`."""
    fields = {"images": torch.zeros(6, 3, 4, 4), "labels": torch.arange(3).repeat(2), "num_classes": 3, "ipc": 2}
    return DistilledDataset(**{**fields, **changes})


def make_whitening(size=3 * 4 * 4):
    return Whitening(torch.zeros(size), torch.eye(size))


def spoilt(value, shape=(6, 3, 4, 4)):
    tensor = torch.zeros(shape)
    tensor[1] = value
    return tensor


REFUSED = {
    "no batch axis": ({"images": torch.zeros(3, 4, 4)}, r"must be \(M, C, H, W\), got shape \(3, 4, 4\)"),
    "no image": ({"images": torch.zeros(0, 3, 4, 4)}, r"must be \(M, C, H, W\)"),
    "double pixels": (
        {"images": torch.zeros(6, 3, 4, 4).double()},
        "float16 or uint8, got torch.float64",
    ),
    "integer pixels": ({"images": torch.zeros(6, 3, 4, 4).long()}, "must be float32, float16 or uint8"),
    "bytes, normalised": ({"images": torch.zeros(6, 3, 4, 4).byte()}, "uint8 images must be in space 'pixels'"),
    "unknown space": ({"space": "raw"}, "space must be one of 'normalised', 'pixels', 'zca', got 'raw'"),
    "bytes, whitened": (
        {"images": torch.zeros(6, 3, 4, 4).byte(), "space": "zca", "whitening": make_whitening()},
        "uint8 images must be in space 'pixels', got 'zca'",
    ),
    "zca without whitening": ({"space": "zca"}, "whitening must be given .* got space 'zca' without a whitening; pass"),
    "whitening without zca": ({"whitening": make_whitening()}, "got space 'normalised' with a whitening; pass"),
    "whitening, pixels": ({"whitening": make_whitening(), "space": "pixels"}, "got space 'pixels' with a whitening"),
    "other whitening": (
        {"whitening": make_whitening(16), "space": "zca"},
        r"whitening must be of 48 values for images \(3, 4, 4\), got one of 16; fit it",
    ),
    "nan pixels": ({"images": spoilt(NAN)}, "1 of 6 distilled images hold NaN or infinite pixels"),
    "infinite pixels": ({"images": spoilt(-INFINITY)}, "1 of 6 distilled images hold NaN or infinite pixels"),
    "too few labels": ({"labels": torch.arange(3)}, r"hard labels must be \(6,\) int64, got \(3,\)"),
    "int32 labels": ({"labels": torch.arange(3).repeat(2).int()}, "hard labels must be .* torch.int32"),
    "float labels": ({"labels": torch.arange(3).repeat(2).float()}, "hard labels must be .* torch.float32"),
    "label too high": ({"labels": torch.arange(1, 4).repeat(2)}, r"labels must lie in 0\.\.2 .* got 1\.\.3"),
    "negative label": ({"labels": torch.arange(-1, 2).repeat(2)}, r"labels must lie in 0\.\.2 .* got -1\.\.1"),
    "too few classes": ({"num_classes": 2, "ipc": 3}, r"labels must lie in 0\.\.1 \(2 classes\)"),
    "no classes": ({"num_classes": 0, "ipc": None}, "num_classes must be at least 1, got 0"),
    "soft, other classes": (
        {"labels": torch.ones(6, 4)},
        r"must be \(6, 3\) float32 or float16, got \(6, 4\)",
    ),
    "soft, other count": (
        {"labels": torch.ones(5, 3)},
        r"must be \(6, 3\) float32 or float16, got \(5, 3\)",
    ),
    "soft double": ({"labels": torch.ones(6, 3).double()}, "soft labels must be .* torch.float64"),
    "soft nan": ({"labels": spoilt(NAN, (6, 3))}, "soft labels hold NaN or infinite values"),
    "logits": (
        {"labels": torch.arange(18.0).view(6, 3)},
        r"soft labels must be probabilities, .* labels\.softmax\(1\)",
    ),
    "soft zeros": ({"labels": torch.zeros(6, 3)}, "6 of 6 rows are not"),
    "uneven": (
        {"labels": torch.tensor([0, 0, 0, 1, 2, 2])},
        "must have 2 images of each class, got 1 to 3 .class 0 has 3.; take as many of each, or give uneven=True",
    ),
    "uneven, another budget": ({"uneven": True, "ipc": 3}, "6 images in 3 classes has the budget ipc 2, .* got 3"),
    "uneven without a budget": ({"uneven": True, "ipc": None}, "has the budget ipc 2, .* got None"),
    "uneven in words": ({"uneven": "yes"}, "uneven must be True or False"),
    "parts of nothing": ({"decode_factor": 0}, "decode_factor must be at least 1, got 0"),
    "parts beyond pixels": ({"decode_factor": 5}, "images of 4x4 hold no 5x5 smaller ones"),
    "parts of whitened images": (
        {"decode_factor": 2, "space": "zca", "whitening": make_whitening()},
        "decode_factor must be 1 for whitened images, got 2",
    ),
    "bytes as floats": ({"images": torch.full((6, 3, 4, 4), 255.0)}, "values within about -5..5, got 255..255"),
    "pixels of bytes": ({"images": torch.full((6, 3, 4, 4), 255.0), "space": "pixels"}, "must lie in 0..1, got 255"),
    "meta": ({"images": torch.zeros(6, 3, 4, 4, device="meta")}, "on the device 'meta' hold no pixels"),
    "numpy": ({"images": np.zeros((6, 3, 4, 4))}, "convert it with torch.from_numpy"),
    "no tensor": ({"labels": [0, 1, 2]}, "labels of a distilled set must be a torch tensor, got list"),
    "ipc float": ({"ipc": 2.0}, "ipc must be a whole number, got 2.0"),
    "classes as text": ({"num_classes": "3"}, "num_classes must be a whole number, got text '3'"),
    "classes beyond all": ({"num_classes": 10**12}, "num_classes must be at most"),
    "lr beyond floats": ({"student_lr": 10**400}, "student_lr must be a positive number, got a very large number"),
    "lr text": ({"student_lr": "0.1"}, "student_lr must be a positive number, got text '0.1'"),
    "provenance a list": ({"provenance": [1]}, "provenance must be a dictionary, got list"),
    "provenance too deep to be read": (
        {"provenance": {"x": json.loads("[" * 70 + "]" * 70)}},
        "provenance of a distilled set is nested more than 60 deep",
    ),
    "provenance beyond 64 bits": ({"provenance": {"x": 2**64}}, "holds a number beyond 64 bits"),
    "provenance with a key twice": ({"provenance": {"x": {1: 2, "1": 3}}}, "gives key '1' twice"),
    "provenance of tensors": ({"provenance": {"x": torch.zeros(1)}}, "provenance must be JSON-able"),
    "seed in words": ({"provenance": {"distill_seed": "x"}}, "distill_seed: should be a valid integer, got 'x'"),
    "phases in words": ({"provenance": {"phases": "long"}}, "phases: should be a valid tuple"),
    "margin below zero": ({"provenance": {"pixel_margin": -1}}, "pixel_margin"),
    "scalar labels": ({"labels": torch.tensor(0)}, "labels must be"),
    "ipc too high": ({"ipc": 3}, "3 classes at ipc 3 has 9 images, got 6"),
    "ipc zero": ({"ipc": 0}, "ipc must be at least 1, got 0"),
    "lr zero": ({"student_lr": 0.0}, "student_lr must be a positive number, got 0.0"),
    "lr nan": ({"student_lr": NAN}, "student_lr must be a positive number, got nan"),
    "lr infinite": ({"student_lr": INFINITY}, "student_lr must be a positive number, got inf"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_impossible_set_is_refused_in_one_line(changes, message):
    with pytest.raises(BadInputError, match=message) as caught:
        make_set(**changes)
    assert "\n" not in str(caught.value)


def test_possible_sets_are_accepted():
    assert make_set().label_mode == "hard"
    assert make_set(labels=torch.full((6, 3), 1 / 3)).label_mode == "soft"
    assert make_set(images=torch.zeros(6, 3, 4, 4).byte(), space="pixels").num_bytes == 6 * 3 * 16 + 6 * 8
    assert make_set(student_lr=0.02).num_bytes == 4 * 6 * 3 * 16 + 6 * 8
    assert make_set(images=torch.zeros(5, 3, 4, 4), labels=torch.zeros(5).long(), ipc=None).ipc is None


def test_learned_tensors_are_kept_without_gradient_and_share_their_memory():
    images, labels = torch.zeros(6, 3, 4, 4, requires_grad=True), torch.full((6, 3), 1 / 3, requires_grad=True)
    made = make_set(images=images, labels=labels)
    assert not made.images.requires_grad
    assert not made.labels.requires_grad
    assert made.images.data_ptr() == images.data_ptr()
    assert images.requires_grad


def test_a_set_says_how_far_its_pixels_lie_outside():
    far = torch.full((6, 3, 4, 4), 1e6)
    assert make_set().pixel_margin() == 3
    assert make_set(images=far, provenance={"pixel_margin": 1e7}).pixel_margin() == 1e7
    assert make_set(images=far, provenance={"pixel_margin": "unbounded"}).pixel_margin() == INFINITY
    wide = make_set(images=torch.full((6, 3, 4, 4), 1.5), space="pixels", provenance={"pixel_margin": 1})
    assert wide.pixel_margin() == 1


def test_a_metric_holds_numbers_and_nothing_that_could_be_one():
    right = {"name": "a", "unit": "fraction", "higher_is_better": True, "values": (1, 0.5, np.float64(0.25))}
    assert Metric(**right).values == (1.0, 0.5, 0.25)
    for wrong in ({"values": ("1",)}, {"values": (True,)}, {"values": 1.0}, {"higher_is_better": 1}, {"name": 3}):
        with pytest.raises(BadInputError, match=r"^Metric: (values|higher_is_better|name)"):
            Metric(**{**right, **wrong})


def test_whitened_set_is_accepted_and_counts_images_and_labels_alone():
    whitened = make_set(space="zca", whitening=make_whitening())
    assert whitened.num_bytes == make_set().num_bytes
    assert whitened.with_provenance(seed=1).whitening is whitened.whitening


BAD_WHITENINGS = {
    "matrix not square": ((torch.zeros(4), torch.zeros(4, 3)), r"mean \(D,\) .* got \(4,\) and \(4, 3\); fit it"),
    "other mean": ((torch.zeros(3), torch.zeros(4, 4)), r"got \(3,\) and \(4, 4\)"),
    "mean a row": ((torch.zeros(1, 4), torch.zeros(4, 4)), r"got \(1, 4\) and \(4, 4\)"),
    "empty": ((torch.zeros(0), torch.zeros(0, 0)), r"got \(0,\) and \(0, 0\)"),
    "double mean": ((torch.zeros(4).double(), torch.zeros(4, 4)), "must be float32, got torch.float64 and"),
    "half matrix": ((torch.zeros(4), torch.zeros(4, 4).half()), "must be float32, got .* and torch.float16"),
    "nan mean": ((torch.full((4,), NAN), torch.zeros(4, 4)), "must be finite"),
    "infinite matrix": ((torch.zeros(4), torch.full((4, 4), INFINITY)), "must be finite, got NaN or infinite .* again"),
}


@pytest.mark.parametrize(("tensors", "message"), BAD_WHITENINGS.values(), ids=BAD_WHITENINGS)
def test_impossible_whitening_is_refused_in_one_line(tensors, message):
    with pytest.raises(BadInputError, match=message) as caught:
        Whitening(*tensors)
    assert "\n" not in str(caught.value)


def test_hash_of_a_whitening_is_that_of_the_bytes_of_its_values():
    generator = torch.Generator().manual_seed(0)
    mean, matrix = torch.rand(4, generator=generator), torch.rand(4, 4, generator=generator)
    expected = hashlib.sha256(mean.numpy().tobytes() + matrix.numpy().tobytes()).hexdigest()[:16]
    assert Whitening(mean, matrix).hash == expected
    assert Whitening(mean.clone(), matrix.T.contiguous().T).hash == expected  # however the values lie in memory
    assert Whitening(mean, matrix.T).hash != expected
    for changed in ((mean + 1e-6, matrix), (mean, matrix + 1e-6)):
        assert Whitening(*changed).hash != expected


def test_set_is_frozen_and_provenance_is_added_to_a_copy():
    first = make_set(provenance={"method": "a", "seed": 0})
    second = first.with_provenance(seed=1)
    assert first.provenance == {"method": "a", "seed": 0}
    assert second.provenance == {"method": "a", "seed": 1}
    assert second.images is first.images
    with pytest.raises(FrozenInstanceError):
        first.ipc = 5


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(0, 3), st.integers(1, 5), st.integers(0, 2**32))
def test_to_pixels_undoes_normalise(channels, count, size, seed):
    info = make_info(channels, size=size)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    normalised = info.normalise(images)
    assert normalised.dtype == torch.float32
    assert torch.equal(info.to_pixels(normalised).mul(255).round().to(torch.uint8), images)
    assert torch.allclose(info.normalise(images.float() / 255), normalised)
    free = torch.randn(count, channels, size, size, generator=generator)
    assert torch.allclose(info.normalise(info.to_pixels(free)), free, atol=1e-5)


def test_normalise_is_the_written_out_formula():
    images = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 3, 2, 2)
    found = make_info().normalise(images)
    for channel, (mean, std) in enumerate([(0.5, 0.25), (0.4, 0.2), (0.3, 0.1)]):
        expected = [[(value / 255 - mean) / std for value in row] for row in images[1, channel].tolist()]
        assert torch.allclose(found[1, channel], torch.tensor(expected))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=20))
def test_of_class_gives_every_index_once_in_stored_order(labels):
    split = LabeledImages(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), torch.tensor(labels), make_info())
    indices = [split.of_class(label).tolist() for label in range(3)]
    assert indices == [[i for i, found in enumerate(labels) if found == label] for label in range(3)]
    assert split.class_counts().tolist() == [len(found) for found in indices]
    assert all(split.of_class(label).dtype == torch.int64 for label in range(3))
    assert len(split) == len(labels)


def test_images_decoded_when_asked_for_are_read_like_held_ones():
    held = torch.arange(4 * 3, dtype=torch.uint8).view(4, 3, 1, 1)

    class Lazy:
        shape = held.shape

        def __getitem__(self, indices):
            return torch.stack([held[index] for index in indices.tolist()])

    labels = torch.tensor([0, 1, 2, 0])
    splits = [LabeledImages(images, labels, make_info(size=1)) for images in (held, Lazy())]
    for indices in (None, torch.tensor([3, 0])):
        eager, lazy = (split.normalised(indices) for split in splits)
        assert torch.equal(eager, lazy)
        assert len(lazy) == (4 if indices is None else 2)


def test_info_counts_its_classes():
    info = make_info(num_classes=2)
    assert info.num_classes == 2
    assert LabeledImages(torch.zeros(1, 3, 4, 4).byte(), torch.zeros(1).long(), info).num_classes == 2
    assert replace(info, class_names=("a", "b", "c")).num_classes == 3
