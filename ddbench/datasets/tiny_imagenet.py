"""Tiny ImageNet: 110,000 colour photos, 64x64, 200 classes (Le and Yang, Stanford CS231n, 2015)."""

from __future__ import annotations

from pathlib import Path

import torch

from ddbench.dataset import make_real_dataset
from ddbench.datasets._image_files import IMAGENET_MEAN, IMAGENET_STD, open_images
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.image_files.class_folders import Listing, class_names_in, list_class_folders
from ddbench.images import RealDataset
from ddbench.inputs.documents import read_text
from ddbench.registry import DATASETS

FOLDER = "tiny-imagenet-200"


@DATASETS.register("tiny_imagenet")
def load_tiny_imagenet(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return Tiny ImageNet, images (N, 3, 64, 64) uint8, 500 training and 50 test images per class.

    Read from the unpacked official archive, `tiny-imagenet-200`. Labels are the sorted WordNet ids, which also serve
    as class names. The test split is the official validation split, as the official test split has no labels; its
    images are either in `val/images`, with their classes in `val/val_annotations.txt`, or sorted into one folder
    per class. Nothing is fetched, whatever `download` is. Mean and std are those of ImageNet.

    Raises:
        DataMissingError: the folder is not in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    root = data_dir / FOLDER
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise DataMissingError(
            f"dataset tiny_imagenet is not in {data_dir} (looked for {FOLDER}/{{train,val}}); it is not fetched for "
            f"you: unpack the official {FOLDER}.zip there"
        )
    classes = class_names_in(root / "train")
    listings = [list_class_folders(root / "train" / wnid for wnid in classes), list_validation(root / "val", classes)]
    train, test = open_images(listings, 64, resize=False)
    return make_real_dataset(
        "tiny_imagenet",
        train[:2],
        test[:2],
        image_digests=(train.digest, test.digest),
        class_names=tuple(classes),
        class_ids=tuple(classes),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        expected={"train_counts": [500] * 200, "test_counts": [50] * 200, "image_shape": [3, 64, 64]},
    )


def list_validation(folder: Path, classes: list[str]) -> Listing:
    """Return the validation images and their labels (N,) int64.

    Raises:
        DataMismatchError: an image without a class, a class that training does not have, or a missing image.
    """
    images = folder / "images"
    if not images.is_dir() or not any(images.iterdir()):
        return list_class_folders(folder / wnid for wnid in classes)
    annotations = _read_annotations(folder / "val_annotations.txt")
    # Not from folders: all images lie in one, and taking it for a class would give every image the same label.
    paths = [images / name for name in sorted(annotations)]
    found = {path.name for path in images.iterdir()}
    for problem, names in (
        ("has no image for", set(annotations) - found),
        ("gives no class for", found - set(annotations)),
        ("names a class that training does not have for", {n for n, w in annotations.items() if w not in classes}),
    ):
        if names:
            raise DataMismatchError(
                f"{folder / 'val_annotations.txt'} {problem} {len(names)} images, such as {min(names)}; "
                "unpack the official archive again"
            )
    return paths, torch.tensor([classes.index(annotations[path.name]) for path in paths], dtype=torch.int64)


def _read_annotations(path: Path) -> dict[str, str]:
    """Return file name -> WordNet id, the first two tab-separated fields of each line."""
    try:
        rows = [line.split("\t") for line in read_text(path, "annotation file").splitlines() if line]
    except BadInputError as error:
        raise DataMismatchError(
            f"{error}; it holds the validation labels: unpack the official archive again"
        ) from error
    if any(len(row) < 2 for row in rows):
        raise DataMismatchError(f"{path} should have tab-separated lines of file name and WordNet id; unpack it again")
    return {row[0]: row[1] for row in rows}
