from __future__ import annotations

import pytest

from ddbench.dataset import load_dataset
from ddbench.datasets.tiny_imagenet import list_validation
from ddbench.errors import DataMismatchError, DataMissingError

CLASSES = ["n01443537", "n01629819", "n01641577"]


@pytest.fixture
def validation(tmp_path, write_image):
    """The official layout: file numbers say nothing about the class, which only the annotations give."""
    for index in range(4):
        write_image(tmp_path / "val" / "images" / f"val_{index}.JPEG", 60 * index, (64, 64))
    rows = [("val_0.JPEG", 2), ("val_2.JPEG", 0), ("val_1.JPEG", 2), ("val_3.JPEG", 1)]
    lines = [f"{name}\t{CLASSES[label]}\t0\t32\t44\t62" for name, label in rows]
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "val"


def test_validation_labels_come_from_the_annotations(validation):
    paths, labels = list_validation(validation, CLASSES)
    assert [path.name for path in paths] == ["val_0.JPEG", "val_1.JPEG", "val_2.JPEG", "val_3.JPEG"]
    assert labels.tolist() == [2, 2, 0, 1]


@pytest.mark.parametrize("inner", ["", "images"])
def test_validation_images_sorted_into_class_folders_are_read_too(tmp_path, write_image, inner):
    for label, wnid in enumerate(CLASSES):
        write_image(tmp_path / "val" / wnid / inner / f"val_{9 - label}.JPEG")
    paths, labels = list_validation(tmp_path / "val", CLASSES)
    assert [path.name for path in paths] == ["val_9.JPEG", "val_8.JPEG", "val_7.JPEG"]
    assert labels.tolist() == [0, 1, 2]


def test_images_left_without_annotations_are_refused(validation):
    (validation / "val_annotations.txt").unlink()
    with pytest.raises(
        DataMismatchError, match=r"^[^\n]*val_annotations\.txt does not exist[^\n]*validation labels[^\n]*$"
    ):
        list_validation(validation, CLASSES)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("val_9.JPEG\tn01443537\t0\t0\t0\t0", r"has no image for 1 images, such as val_9\.JPEG"),
        ("val_0.JPEG\tn99999999\t0\t0\t0\t0", r"names a class that training does not have for 1 images"),
        ("val_0.JPEG n01443537", "should have tab-separated lines"),
    ],
)
def test_a_wrong_annotation_is_named(validation, line, problem):
    path = validation / "val_annotations.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataMismatchError, match=problem):
        list_validation(validation, CLASSES)


def test_an_image_without_annotation_is_named(validation, write_image):
    write_image(validation / "images" / "val_7.JPEG")
    with pytest.raises(DataMismatchError, match=r"gives no class for 1 images, such as val_7\.JPEG"):
        list_validation(validation, CLASSES)


def test_a_cut_down_copy_is_not_taken_for_the_data_set(tmp_path, validation, write_image):
    root = tmp_path / "tiny-imagenet-200"
    root.mkdir()
    validation.rename(root / "val")
    for wnid in CLASSES:
        write_image(root / "train" / wnid / "images" / f"{wnid}_0.JPEG", 0, (64, 64))
    with pytest.raises(DataMismatchError, match="dataset tiny_imagenet is not the registered one"):
        load_dataset("tiny_imagenet", tmp_path)


@pytest.mark.parametrize("download", [False, True])
def test_missing_files_say_what_to_put_where(tmp_path, download):
    with pytest.raises(DataMissingError, match=r"unpack the official tiny-imagenet-200\.zip there") as error:
        load_dataset("tiny_imagenet", tmp_path, download=download)
    assert str(tmp_path) in str(error.value)
