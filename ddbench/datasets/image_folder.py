"""Any folder of images in class folders, under train and test or val: `image_folder:PATH[,size=S]`."""

from __future__ import annotations

from pathlib import Path

from ddbench.dataset import check_size, make_real_dataset
from ddbench.datasets._image_files import IMAGENET_MEAN, IMAGENET_STD, list_class_folders, open_images
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.records import RealDataset
from ddbench.registry import DATASETS


@DATASETS.register("image_folder")
def load_image_folder(
    data_dir: Path, *, download: bool = False, path: str | Path = "", size: int | str = 224
) -> RealDataset:
    """Return the images of a folder, (N, 3, size, size) uint8; labels are the sorted names of the class folders.

    Images are scaled to `size` on the shorter side (bilinear, antialiased), cropped at the centre and made RGB.
    At most 1 GiB of them is held in memory; of more, each is decoded when first asked for and kept on disk. Mean and
    std are those of ImageNet. `data_dir` and `download` are not used.

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
    test_folder = root / "test" if (root / "test").is_dir() else root / "val"
    if not (train_folder.is_dir() and test_folder.is_dir()):
        raise DataMissingError(
            f"{root} should hold the folders train and test (or val), each with one folder per class; put them there"
        )
    classes = _shared_classes(train_folder, test_folder)
    listings = [list_class_folders(folder / name for name in classes) for folder in (train_folder, test_folder)]
    train, test = open_images(listings, side)
    return make_real_dataset(
        f"image_folder:{root.resolve().name},size={side}",
        train,
        test,
        class_names=tuple(classes),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _shared_classes(train_folder: Path, test_folder: Path) -> list[str]:
    train, test = (
        {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for folder in (train_folder, test_folder)
    )
    if train != test:
        only = [
            f"only in {folder.name}: {', '.join(sorted(names)[:5])}{' and more' if len(names) > 5 else ''}"
            for folder, names in ((train_folder, train - test), (test_folder, test - train))
            if names
        ]
        raise DataMismatchError(
            f"{train_folder} and {test_folder} should hold the same class folders; {'; '.join(only)}; make them equal"
        )
    if len(train) < 2:
        raise DataMismatchError(f"{train_folder} should hold one folder per class, at least two, found {len(train)}")
    return sorted(train)
