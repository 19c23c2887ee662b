"""Your own images, in class folders under train and test (or val): `image_folder:PATH[,size=S]`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ddbench.dataset import check_size, make_real_dataset
from ddbench.datasets._image_files import IMAGENET_MEAN, IMAGENET_STD, open_images
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.image_files.class_folders import PassedOver, class_names_in, list_class_folders, same_but_for_spelling
from ddbench.images import RealDataset
from ddbench.registry import DATASETS


@DATASETS.register("image_folder")
def load_image_folder(
    data_dir: Path, *, download: bool = False, path: str | Path = "", size: int | str = 224
) -> RealDataset:
    """Return the images of a folder, (N, 3, size, size) uint8; labels are the sorted names of the class folders.

    Names that all are numbers are sorted as numbers: 2 comes before 10. Hidden files and folders, those of operating
    systems (`__MACOSX`, `Thumbs.db`), links to folders and files of other kinds are passed over, with one warning that
    counts them. Class names that differ in case or Unicode form alone are warned of.

    Images are turned as their EXIF orientation says, scaled to `size` on the shorter side (bilinear, antialiased),
    cropped at the centre and made RGB; 16-bit grey is scaled, alpha dropped. At most 1 GiB of them is held in memory;
    of more, each is decoded when first asked for and kept on disk. Mean and std are those of ImageNet. `data_dir` and
    `download` are not used.

    Args:
        data_dir: not used.
        download: not used.
        path: folder with `train` and `test`, or `train` and `val` where there is no `test`.
        size: side length in pixels.

    Raises:
        BadInputError: no path, or a size that is not one.
        DataMissingError: a folder is not there.
        DataMismatchError: the splits have different classes, a class has no image, or an image cannot be decoded.
    """
    if not str(path):
        raise BadInputError("image_folder needs a folder: image_folder:PATH[,size=S], with PATH/train and PATH/test")
    side = check_size(size)
    root = Path(path).expanduser()
    train_folder = root / "train"
    test_folder = root / "test" if os.path.lexists(root / "test") else root / "val"
    if not (train_folder.is_dir() and test_folder.is_dir()):
        raise DataMissingError(
            f"{root} should hold the folders train and test (or val), each with one folder per class; put them there"
        )
    if train_folder.samefile(test_folder):
        raise DataMismatchError(
            f"{test_folder} is the same folder as {train_folder}, whose images train students; put others there"
        )
    passed = PassedOver()
    classes = _shared_classes(train_folder, test_folder, passed)
    folders = (train_folder, test_folder)
    listings = [list_class_folders((folder / name for name in classes), passed) for folder in folders]
    passed.warn(root)
    train, test = open_images(listings, side)
    return make_real_dataset(
        f"image_folder:{root.resolve().name},size={side}",
        train[:2],
        test[:2],
        image_digests=(train.digest, test.digest),
        class_names=tuple(classes),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _shared_classes(train_folder: Path, test_folder: Path, passed: PassedOver) -> list[str]:
    train, test = (class_names_in(folder, passed) for folder in (train_folder, test_folder))
    alike = [" and ".join(group) for group in same_but_for_spelling({*train, *test})]
    spelling = f"only case or Unicode form tells apart {alike[0]}" if alike else ""
    if set(train) != set(test):
        only = [
            f"only in {folder.name}: {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
            for folder, names in (
                (train_folder, [name for name in train if name not in test]),
                (test_folder, [name for name in test if name not in train]),
            )
            if names
        ]
        raise DataMismatchError(
            f"{train_folder} and {test_folder} should hold the same class folders; "
            f"{'; '.join([*only, *filter(None, [spelling])])}; make them equal"
        )
    if len(train) < 2:
        raise DataMismatchError(f"{train_folder} should hold one folder per class, at least two, found {len(train)}")
    if spelling:
        warnings.warn(f"{train_folder}: {spelling}; they count as separate classes", stacklevel=4)
    return train
