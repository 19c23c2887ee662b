from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.datasets import _image_files
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError


@pytest.fixture
def folder(tmp_path, write_image):
    """Classes dog and cat, in both splits; grey, dark for cats and bright for dogs."""
    root = tmp_path / "pets"
    for split, count in (("train", 3), ("val", 1)):
        for name, shade in (("dog", 200), ("cat", 50)):
            for index in range(count):
                write_image(root / split / name / f"{index}.png", shade, (20, 16))
    return root


def test_labels_are_the_sorted_folder_names(folder):
    real = load_dataset(f"image_folder:{folder},size=16")
    assert real.info.class_names == ("cat", "dog")
    assert real.train.class_counts().tolist() == [3, 3]
    assert real.test.class_counts().tolist() == [1, 1]
    assert real.train.pixels(real.train.of_class(0)).eq(50).all()
    assert real.train.pixels(real.train.of_class(1)).eq(200).all()


def test_grey_images_become_rgb_of_the_size_asked_for(folder):
    real = load_dataset(f"image_folder:{folder},size=16")
    assert real.train.images.shape == (6, 3, 16, 16)
    assert real.info.name == "image_folder:pets,size=16"
    assert (real.info.channels, real.info.image_size) == (3, 16)


def test_the_size_is_224_unless_asked_otherwise(folder):
    assert load_dataset("image_folder", path=folder).info.image_size == 224


def test_a_test_folder_goes_before_a_validation_folder(folder, write_image):
    for name in ("cat", "dog"):
        for index in range(2):
            write_image(folder / "test" / name / f"{index}.png")
    assert len(load_dataset(f"image_folder:{folder},size=16").test) == 4


def test_images_in_files_give_the_same_data_set(folder, monkeypatch):
    held = load_dataset(f"image_folder:{folder},size=16")
    monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 0)
    filed = load_dataset(f"image_folder:{folder},size=16")
    assert filed.info == held.info
    assert torch.equal(filed.train.normalised(), held.train.normalised())


def test_fingerprint_depends_on_content_and_not_on_place(folder, tmp_path, write_image):
    first = load_dataset(f"image_folder:{folder},size=16").info
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_dataset(f"image_folder:{moved},size=16").info.fingerprint == first.fingerprint
    assert load_dataset(f"image_folder:{moved},size=8").info.fingerprint != first.fingerprint
    write_image(moved / "train" / "cat" / "one_more.png")
    assert load_dataset(f"image_folder:{moved},size=16").info.fingerprint != first.fingerprint


def test_different_classes_in_the_splits_are_named(folder, write_image):
    write_image(folder / "train" / "fish" / "0.png")
    write_image(folder / "val" / "bird" / "0.png")
    with pytest.raises(DataMismatchError, match=r"only in train: fish; only in val: bird; [^\n]*$"):
        load_dataset(f"image_folder:{folder}")


def test_a_folder_without_splits_is_named(tmp_path):
    with pytest.raises(DataMissingError, match="should hold the folders train and test"):
        load_dataset(f"image_folder:{tmp_path}")


def test_one_class_is_not_enough(tmp_path, write_image):
    for split in ("train", "val"):
        write_image(tmp_path / split / "only" / "0.png")
    with pytest.raises(DataMismatchError, match="at least two, found 1"):
        load_dataset(f"image_folder:{tmp_path}")


def test_the_path_is_needed():
    with pytest.raises(BadInputError, match="image_folder needs a folder"):
        load_dataset("image_folder")


@pytest.mark.parametrize("size", ["big", "0", "-8", "16.0", "9999", "٣٢"])
def test_a_size_that_is_none_is_refused(folder, size):
    with pytest.raises(BadInputError, match=r"^size must be a whole number of pixels from 8 to 1024, got [^\n]*$"):
        load_dataset(f"image_folder:{folder},size={size}")
