"""Loading real data by name: where it lies, what it must look like, and what to do when it is not there."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import xxhash
from platformdirs import user_cache_path
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.files import digest_of
from ddbench.images import DatasetInfo, ImageSource, LabeledImages, RealDataset
from ddbench.inputs.fingerprints import CONTENT_PREFIX
from ddbench.inputs.image_tensors import as_plain
from ddbench.inputs.paths import as_path
from ddbench.inputs.values import as_choice, as_flag, as_mapping, as_numbers, as_text, shown
from ddbench.registry import DATASETS, suggest

DATA_DIR_VARIABLE = "DDBENCH_DATA_DIR"
_READ_AT_ONCE = 256  # images that are not held in memory


# What the data sets made in this process hold in memory, by fingerprint and by which splits are held.
_held: dict[tuple[str, tuple[bool, ...]], list[str]] = {}

SIZE = "size"  # option of data sets that come in any side length
_NOT_OPTIONS = ("data_dir", "download")  # parameters of every loader, which are given apart from the options
_PATHS = ("path", "source")
_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class DatasetLoader(Protocol):
    """A function that finds one data set under `data_dir`; downloads only where `download` is true."""

    def __call__(self, data_dir: Path, *, download: bool = False, **options: Any) -> RealDataset:  # noqa: ANN401
        """Return the data set; options are those of its spec, such as `size`."""


def load_dataset(
    spec: str, data_dir: Path | str | None = None, *, download: bool = False, **options: object
) -> RealDataset:
    """Return a real data set.

    Args:
        spec: a name, with a path and options where the data set takes them: `cifar10`, `image_folder:PATH,size=64`.
        data_dir: where files lie; otherwise $DDBENCH_DATA_DIR, otherwise the user's cache folder.
        download: fetch missing files; without it nothing is ever fetched.
        options: the same options as in the spec, for Python callers.

    Raises:
        UnknownNameError: no such data set.
        BadInputError: an option that is malformed or that the data set does not take.
        DataMissingError: the files are not there; the message names the command that fetches them.
        DataMismatchError: the files are not the registered data.
    """
    if data_dir is not None:
        data_dir = as_path(data_dir, "data_dir")
    as_flag(download, "download")
    name, spec_options = parse_spec(spec)
    loader = DATASETS.get(name)
    merged = {**spec_options, **options}
    _check_options(name, loader, merged)
    real = loader(find_data_dir(data_dir), download=download, **merged)
    if SIZE not in inspect.signature(loader).parameters:
        return real
    train_at, test_at = (
        partial(_load_split_at, split, name, find_data_dir(data_dir), {**merged}) for split in ("train", "test")
    )
    return replace(real, train=replace(real.train, load_at=train_at), test=replace(real.test, load_at=test_at))


def _load_split_at(
    split: Literal["train", "test"], name: str, data_dir: Path, options: Mapping[str, object], side: int
) -> LabeledImages:
    """Return a split at another side length."""
    resized: dict[str, Any] = {**options, SIZE: side}
    real = load_dataset(name, data_dir, **resized)
    return real.train if split == "train" else real.test


def _check_options(name: str, loader: DatasetLoader, options: Mapping[str, object]) -> None:
    """Raise BadInputError for an option that a loader does not take; where its data lie and download are none."""
    parameters = list(inspect.signature(loader).parameters.values())[1:]
    known = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME and parameter.name != "download"]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    for option, value in options.items():
        if option in _PATHS:
            as_path(value, f"{option} of dataset {name}")
        if option in _NOT_OPTIONS:
            flag = {"data_dir": "--data-dir", "download": "ddbench doctor --download"}[option]
            raise BadInputError(f"dataset {name} has no option {option!r}; see {flag}, or load_dataset in Python")
        if option not in known and not takes_any:
            hint = suggest(option, known) if known else "it takes none"
            raise BadInputError(f"dataset {name} has no option {option!r}; {hint}")


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split `name[:PATH][,key=value...]` into the name and its options; a path becomes the option `path`.

    Raises:
        BadInputError: no text, a part that is no `key=value`, a key given twice, or a path that cannot be one.
    """
    if not isinstance(spec, str):
        raise BadInputError(f"a data set is given by its name, such as cifar10, got {type(spec).__name__} {spec!r}")
    head, *pairs = spec.split(",")
    name, colon, path = head.partition(":")
    options: dict[str, str] = {}
    if colon:
        as_path(path, f"path of dataset {name}")
        options["path"] = path
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value) or key in options:
            raise BadInputError(
                f"dataset option must be key=value, each key once, got {pair!r} in {spec!r}; a path may hold no comma"
            )
        options[key] = value
    return name, options


def find_data_dir(data_dir: Path | str | None = None) -> Path:
    """Return the folder that data sets lie in: the argument, else $DDBENCH_DATA_DIR, else the user's cache."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return as_path(chosen, "data folder") if chosen else user_cache_path("ddbench") / "data"


def make_real_dataset(
    name: str,
    train: tuple[ImageSource, Tensor],
    test: tuple[ImageSource, Tensor],
    *,
    class_names: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    class_ids: tuple[str, ...] = (),
    may_be_mirrored: bool = True,
    expected: Mapping[str, Any] | None = None,
    image_digests: tuple[str, str] | None = None,
    is_fixed: bool | None = None,
) -> RealDataset:
    """Assemble a data set and its identity.

    Args:
        name: registered name; with options that change the content, such as `imagenette,size=128`.
        train: images (N, C, H, W) uint8 and labels (N,) int64 of the training split.
        test: the same of the test split.
        class_names: in label order.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        class_ids: WordNet ids in label order, where there are any.
        may_be_mirrored: whether a mirror image is one of its class; no part of the fingerprint.
        expected: any of `train_counts`, `test_counts` (per class), `image_shape` that the registered data has.
        image_digests: of the training and the test images, where the files they come from say what they are without
            being decoded; otherwise they are of the pixels, all of which are read.
        is_fixed: whether the name stands for this content alone; by default, where something is `expected`.

    Raises:
        BadInputError: images that are not uint8, labels that are not int64, in range and of their count, names, mean or
            std that cannot be, or a class without an image in one of the splits.
        DataMismatchError: the content differs from `expected`; the message names the difference.
    """
    train, test = _check_parts(name, train, test, class_names, mean, std)
    class_names, class_ids, mean, std = tuple(class_names), tuple(class_ids), tuple(mean), tuple(std)
    num_classes = len(class_names)
    counts = {
        f"{split}_counts": torch.bincount(labels, minlength=num_classes).tolist()
        for split, (_, labels) in (("train", train), ("test", test))
    }
    content = {
        "class_names": list(class_names),
        "class_ids": list(class_ids),
        "image_shape": list(train[0].shape[1:]),
        **counts,
    }
    check_content(name, content, {} if expected is None else expected)
    digests = image_digests or (_digest_images(train[0]), _digest_images(test[0]))
    identity = {**content, "images": digests, "labels": [_digest_tensor(labels) for _, labels in (train, test)]}
    info = DatasetInfo(
        name=name,
        class_names=class_names,
        channels=int(train[0].shape[1]),
        image_size=int(train[0].shape[2]),
        mean=mean,
        std=std,
        fingerprint=CONTENT_PREFIX + digest_of(identity),
        class_ids=class_ids,
        may_be_mirrored=may_be_mirrored,
        layout=digest_of(content),
        is_fixed=expected is not None if is_fixed is None else is_fixed,
    )
    made = RealDataset(LabeledImages(*train, info), LabeledImages(*test, info), info)
    _held[_held_as(made)] = _digest_held(made)
    return made


def check_held(dataset: RealDataset) -> None:
    """Raise BadInputError where a data set holds other pixels or labels than its fingerprint says.

    They were exchanged or changed after `make_real_dataset`. Of images that are not held in memory the shape alone is
    compared, and of a fingerprint that was not made in this process nothing: it is its maker's word.
    """
    if _held.get(_held_as(dataset), found := _digest_held(dataset)) != found:
        raise BadInputError(
            f"images or labels of this data set are not those that make the fingerprint of {dataset.info.name}, "
            f"{dataset.info.fingerprint}; make a set of your own of them with make_real_dataset, under another name"
        )


def _held_as(dataset: RealDataset) -> tuple[str, tuple[bool, ...]]:
    return dataset.info.fingerprint, tuple(isinstance(s.images, Tensor) for s in (dataset.train, dataset.test))


def _digest_held(dataset: RealDataset) -> list[str]:
    splits = (dataset.train, dataset.test)
    images = [_digest_images(s.images) if isinstance(s.images, Tensor) else str(tuple(s.images.shape)) for s in splits]
    return [*images, *(_digest_tensor(split.labels) for split in splits)]


def _check_parts(
    name: str,
    train: tuple[ImageSource, Tensor],
    test: tuple[ImageSource, Tensor],
    class_names: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> list[tuple[ImageSource, Tensor]]:
    """Return both splits as they are to be used; raises BadInputError where a part of a data set cannot be."""
    for which, split in (("train", train), ("test", test)):
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise BadInputError(f"{which} must be a pair of images and labels, got {shown(split)}")
    images = as_plain(train[0], "images of a data set") if isinstance(train[0], Tensor) else train[0]
    shape = getattr(images, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        came = tuple(shape) if isinstance(shape, tuple) else shown(train[0])
        raise BadInputError(f"images of a data set must be (N, C, H, W) uint8, got {came}")
    as_numbers(mean, "mean", shape[1], 0, 1)
    as_numbers(std, "std", shape[1], 0, 1)
    info = DatasetInfo(as_text(name, "name of a data set"), class_names, shape[1], shape[2], mean, std, "")
    splits = (LabeledImages(*split, info) for split in (train, test))
    return [(split.images, split.labels) for split in splits]


def _digest_images(images: ImageSource) -> str:
    """Return 32 hexadecimal digits of all pixels (N, C, H, W); the same held in memory or not."""
    if isinstance(images, Tensor):
        return _digest_tensor(images)
    digest = xxhash.xxh3_128()
    for rows in torch.arange(images.shape[0]).split(_READ_AT_ONCE):
        digest.update(images[rows].contiguous().numpy().data)
    return digest.hexdigest()


def _digest_tensor(values: Tensor) -> str:
    return xxhash.xxh3_128_hexdigest(values.detach().cpu().contiguous().numpy().data)


def check_content(name: str, content: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare what was found with what is registered; raises DataMismatchError naming the first difference."""
    for key, registered in as_mapping(expected, "expected").items():
        as_choice(key, tuple(content), "each key of expected")
        if not isinstance(registered, Iterable):
            raise BadInputError(f"expected {key} must be a list, got {shown(registered)}")
        wanted, found, what = list(registered), content[key], key.replace("_", " ")
        if found == wanted:
            continue
        if key.endswith("_counts") and len(found) == len(wanted):
            label = next(label for label, count in enumerate(wanted) if found[label] != count)
            wanted, found = wanted[label], found[label]
            what = f"{key.split('_')[0]} images of class {label} ({content['class_names'][label]})"
        raise DataMismatchError(
            f"dataset {name} is not the registered one: {what} should be {wanted}, found {found}; "
            "check that the folder holds the official files"
        )


def check_size(size: int | str) -> int:
    """Return the side length in pixels that a `size` option means; raises BadInputError where it means none."""
    low, high = 8, 1024
    text = str(size)
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise BadInputError(f"size must be a whole number of pixels from {low} to {high}, got {text!r}")
    return int(text)
