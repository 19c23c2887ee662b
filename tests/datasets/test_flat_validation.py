"""Tests of validation images that lie in one folder: every form of labels gives what class folders give."""

from __future__ import annotations

import pytest
import torch
from scipy.io import savemat

from ddbench.datasets import _imagenet_layout
from ddbench.datasets._flat_validation import GROUND_TRUTH, META, read_synsets
from ddbench.datasets._imagenet_layout import load_imagenet_subset
from ddbench.errors import DataMismatchError, DataMissingError
from tests._imagenet_like import write_devkit, write_imagenet_like

WNIDS = ("n00000003", "n00000001", "n00000002")
CLASSES = tuple((wnid, f"class {wnid[-1]}") for wnid in WNIDS)
LABELS = [1, 0, 2, 2, 0, 1]  # of images 1 to 6, places in WNIDS


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """Two images of each of three classes in `val`, and the same in class folders in `sorted/val`."""
    monkeypatch.setattr(_imagenet_layout, "_TRAIN_RANGE", (1, 3))
    monkeypatch.setattr(_imagenet_layout, "_VALIDATION_COUNT", 2)
    for place in ("imagenet", "sorted/imagenet"):
        write_imagenet_like(tmp_path / place, WNIDS, train=1, val=2, size=16, is_flat=True)
    write_devkit(tmp_path / "imagenet", WNIDS, LABELS)
    folder = tmp_path / "sorted" / "imagenet" / "val"
    for number, label in enumerate(LABELS, 1):
        path = folder / f"ILSVRC2012_val_{number:08d}.JPEG"
        (folder / WNIDS[label]).mkdir(exist_ok=True)
        path.rename(folder / WNIDS[label] / path.name)
    return tmp_path / "imagenet"


def load(folder, classes=CLASSES):
    return load_imagenet_subset("few", classes, folder.parent, size=16)


def write_labels(folder, form):
    """Put the labels there in another form than the devkit's, which goes."""
    (folder / GROUND_TRUTH).unlink()
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, 7)]
    found = [WNIDS[label] for label in LABELS]
    pairs = list(zip(names, found, strict=True))[::-1]
    match form:
        case "LOC_val_solution.csv":
            lines = ["ImageId,PredictionString", *(f"{name},{wnid} 85 1 499 272 " for name, wnid in pairs)]
        case "imagenet_2012_validation_synset_labels.txt":
            lines = found
        case "val_annotations.txt":
            lines = [f"{name}.JPEG\t{wnid}\t0\t0\t62\t62" for name, wnid in pairs]
    (folder / form).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "form",
    [
        GROUND_TRUTH,
        "LOC_val_solution.csv",
        "imagenet_2012_validation_synset_labels.txt",
        "val_annotations.txt",
    ],
)
@pytest.mark.parametrize("classes", [CLASSES, CLASSES[1:]], ids=["all", "some"])
def test_every_form_gives_the_data_set_that_class_folders_give(flat, form, classes):
    if form != GROUND_TRUTH:
        write_labels(flat, form)
    found, expected = load(flat, classes), load(flat.parent / "sorted" / "imagenet", classes)
    assert torch.equal(found.test.images, expected.test.images)
    assert torch.equal(found.test.labels, expected.test.labels)
    assert found.info.fingerprint == expected.info.fingerprint


def test_the_devkits_own_folder_is_looked_into(flat):
    devkit = flat / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    before = load(flat).info
    for name in (GROUND_TRUTH, META):
        (flat / name).rename(devkit / name)
    assert load(flat).info == before


def test_classes_are_numbered_by_the_devkits_list_and_parents_are_no_classes(flat):
    assert read_synsets(flat / META) == {"3": "n00000003", "2": "n00000001", "1": "n00000002"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda folder: (folder / GROUND_TRUTH).unlink(),
            DataMissingError,
            "no file says what its images are; put ILSVRC.* beside it",
        ),
        (lambda folder: (folder / META).unlink(), DataMissingError, "meta.mat, which says what they are, is missing"),
        (lambda folder: (folder / META).write_bytes(b"MATLAB 5"), DataMismatchError, "list of synsets and is not"),
        (lambda folder: savemat(folder / META, {"other": 1}), DataMismatchError, "list of synsets and is not"),
        (lambda folder: (folder / GROUND_TRUTH).write_text("1\n" * 5), DataMismatchError, "5 labels, .* images are 6"),
        (lambda folder: (folder / GROUND_TRUTH).write_text("9\n" * 6), DataMismatchError, "the class '9', which"),
        (lambda folder: (folder / GROUND_TRUTH).write_bytes(b"\xff"), DataMismatchError, "UTF-8.*copy it again"),
        (
            lambda folder: (folder / GROUND_TRUTH).write_text("1\n" * 6),
            DataMismatchError,
            "2 images of a class|found 0",
        ),
        (
            lambda folder: (folder / "val" / "ILSVRC2012_val_00000001.JPEG").rename(folder / "val" / "cat.JPEG"),
            DataMismatchError,
            "by number, .* found cat; rename it",
        ),
        (
            lambda folder: (folder / "LOC_val_solution.csv").write_text(
                "ImageId,P\nILSVRC2012_val_00000001,n00000001\n"
            ),
            DataMismatchError,
            "no class for 5 of 6 images .* such as ILSVRC2012_val_00000002",
        ),
        (
            lambda folder: (folder / "LOC_val_solution.csv").write_text("ImageId,P\na,n00000001\na,n00000002 1 2\n"),
            DataMismatchError,
            "says that a is n00000001 and n00000002; copy it again",
        ),
        (
            lambda folder: (folder / "val" / "ILSVRC2012_val_00000001.png").write_bytes(b"another"),
            DataMismatchError,
            "has ILSVRC2012_val_00000001 in several files; keep one of each image",
        ),
        (
            lambda folder: (folder / "LOC_val_solution.csv").write_text("ImageId,P\ncat,dog 1 2\n"),
            DataMismatchError,
            "WordNet id such as n01440764 for cat, found 'dog'",
        ),
        (
            lambda folder: (folder / "val" / "n00000001").mkdir(),
            DataMissingError,
            "2 of 3 folders are missing in val",
        ),
    ],
)
def test_labels_that_are_not_there_or_do_not_match_are_one_line(flat, change, error, words):
    change(flat)
    with pytest.raises(error, match=words) as caught:
        load(flat)
    assert "\n" not in str(caught.value)


def test_labels_of_images_that_are_not_there_are_named(flat):
    write_labels(flat, "val_annotations.txt")
    (flat / "val" / "ILSVRC2012_val_00000004.JPEG").unlink()
    with pytest.raises(DataMismatchError, match=r"not there, 1 of 5 images in .*val, such as ILSVRC2012_val_00000004"):
        load(flat)
