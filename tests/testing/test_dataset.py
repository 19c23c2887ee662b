"""Tests of the contract of data sets: one broken on purpose fails in the rule that is there for it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from ddbench.dataset import make_real_dataset
from ddbench.errors import BadInputError
from ddbench.images import LabeledImages, RealDataset
from ddbench.registry import DATASETS
from ddbench.testing import run_contract

IMAGES = "images are bytes of the shape announced"
LABELS = "labels lie in range and no class is empty"
NAMES = "class names are unique"
MEAN = "mean and std fit the stored pixels"
LOADS = "two loads are equal"
INFO = "both splits carry the data sets info"
OBJECTS = "train and test are different objects"
OPTION = "unknown option is refused in one line"
EVERY = {IMAGES, LABELS, NAMES, MEAN, LOADS, INFO, OBJECTS, OPTION}
LOADED = itertools.count()


def sound() -> RealDataset:
    def split(seed, count):
        draws = torch.Generator().manual_seed(seed)
        return torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=draws), torch.arange(count) % 3

    names, mean, std = ("a", "b", "c"), (0.5,) * 3, (0.29,) * 3
    return make_real_dataset("candidate", split(0, 30), split(1, 15), class_names=names, mean=mean, std=std)


def with_train(real, **changes):
    return replace(real, train=replace(real.train, **changes))


def with_info(real, **changes):
    info = replace(real.info, **changes)
    return RealDataset(replace(real.train, info=info), replace(real.test, info=info), info)


def with_views(real):
    images = torch.cat([real.train.images, real.test.images])
    train = LabeledImages(images[:40], torch.arange(40) % 3, real.info)
    return replace(real, train=train, test=LabeledImages(images[5:], torch.arange(40) % 3, real.info))


class FloatSource:
    """Says that it has images of bytes, and gives floats."""

    shape = torch.Size((30, 3, 8, 8))

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(indices), 3, 8, 8)


def changed_afterwards(real):
    real.train.labels.add_(1)
    return real


def of_one_class(real):
    info = replace(real.info, class_names=("a",))
    train, test = (replace(split, labels=split.labels * 0, info=info) for split in (real.train, real.test))
    return RealDataset(train, test, info)


REFUSED = {
    "float images": lambda real: with_train(real, images=real.train.images.float()),
    "other size": lambda real: with_info(real, image_size=16),
    "short labels": lambda real: with_train(real, labels=real.train.labels[:-1]),
    "int32 labels": lambda real: with_train(real, labels=real.train.labels.int()),
    "label out of range": lambda real: with_train(real, labels=real.train.labels + 1),
    "empty class": lambda real: with_train(real, labels=real.train.labels.clamp(max=1)),
    "names twice": lambda real: with_info(real, class_names=("a", "b", "a")),
    "too few ids": lambda real: with_info(real, class_ids=("n1",)),
    "std of one channel": lambda real: with_info(real, std=(0.29, 0.29)),
}
BROKEN = {
    "images read as floats": (lambda real: with_train(real, images=FloatSource()), {IMAGES}),
    "labels changed afterwards": (changed_afterwards, {LABELS}),
    "one class": (of_one_class, {NAMES}),
    "mean of 0..255": (lambda real: with_info(real, mean=(127.0,) * 3), {MEAN}),
    "mean and std swapped": (lambda real: with_info(real, mean=(0.02,) * 3, std=(0.5,) * 3), {MEAN}),
    "std of 0..255": (lambda real: with_info(real, std=(74.0,) * 3), {MEAN}),
    "shuffled": (lambda real: with_train(real, labels=real.train.labels.roll(next(LOADED))), {LOADS}),
    "fingerprint moves": (lambda real: with_info(real, fingerprint=str(next(LOADED))), {LOADS}),
    "other name": (lambda real: with_info(real, name="another"), {INFO}),
    "no fingerprint": (lambda real: with_info(real, fingerprint=""), {INFO}),
    "two infos": (lambda real: with_train(real, info=replace(real.info, name="candidate,size=8")), {INFO}),
    "test is train": (lambda real: replace(real, test=real.train), {OBJECTS}),
    "test overlaps train": (with_views, {OBJECTS}),
    "test is a copy of train": (
        lambda real: replace(real, test=replace(real.train, images=real.train.images.clone())),
        {OBJECTS},
    ),
}


def failures(load, monkeypatch):
    monkeypatch.setitem(DATASETS._entries, "candidate", load)
    outcomes = {outcome.rule: outcome for outcome in run_contract("dataset", "candidate")}
    assert set(outcomes) == EVERY
    return {rule for rule, outcome in outcomes.items() if not outcome.holds}


def test_a_sound_data_set_passes(monkeypatch):
    assert failures(lambda data_dir, *, download=False: sound(), monkeypatch) == set()


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_data_set_fails_where_it_is_broken(case, monkeypatch):
    change, expected = BROKEN[case]
    found = failures(lambda data_dir, *, download=False: change(sound()), monkeypatch)
    assert found >= expected
    assert found != EVERY


@pytest.mark.parametrize("case", REFUSED)
def test_a_data_set_that_cannot_be_is_refused_when_it_is_made(case):
    with pytest.raises(BadInputError):
        REFUSED[case](sound())


def test_a_data_set_that_takes_any_option_fails(monkeypatch):
    assert failures(lambda data_dir, **options: sound(), monkeypatch) == {OPTION}
