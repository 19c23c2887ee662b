"""Tests of importing class folders of images: whose class each folder is, and what was read."""

import pytest
import torch
from PIL import Image

from ddbench.dataset import make_real_dataset
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.runs.foreign_values import SourceFacts
from ddbench.runs.importing import import_set


@pytest.fixture
def write(tmp_path, encode):
    """A function that writes a class folder for each name, with the images of its label."""

    def write(root, names, images, labels, suffix="png"):
        for label, name in enumerate(names):
            folder = tmp_path / root / name
            folder.mkdir(parents=True)
            for index, image in enumerate(images[labels == label]):
                Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(folder / f"id{index:05d}.{suffix}")
        return tmp_path / root

    return write


@pytest.fixture
def animals():
    """Two classes of ten grey images, whose names sort the other way round."""
    images, labels = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8), torch.arange(2).repeat_interleave(10)
    names = ("zebra crossing", "ant")
    return make_real_dataset("animals", (images, labels), (images, labels), class_names=names, mean=(0.5,), std=(0.2,))


def test_number_folders_are_labels_and_bytes_stay(imported, write, pixels, labels):
    source = write("syn", [f"{label:05d}" for label in range(10)], pixels, labels)
    found = imported(source, "image-folder", method="rded-authors")
    (made,) = found.sets
    assert torch.equal(made.images, pixels)
    assert torch.equal(made.labels, labels)
    assert made.provenance["imported"]["class_map"]["00003"] == "3"
    assert any(note.startswith("classes by number: 00000 is 0") for note in found.notes)


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (["zebra crossing", "ant"], "class name"),
        (["Zebra_Crossing", "ANT"], "class name"),
        (["0_zebra_crossing", "1_ant"], "number and class name"),
        (["00000", "00001"], "number"),
        (["217", "9403"], "number"),
    ],
)
def test_folders_are_matched_by_name_whatever_their_order(animals, write, names, how):
    images, labels = animals.train.pixels(torch.arange(20)), animals.train.labels
    (made,) = import_set(write("set", names, images, labels), "image-folder", animals).sets
    assert torch.equal(made.images, images)
    assert torch.equal(made.labels, labels)
    assert made.provenance["imported"]["classes_by"] == how


def test_other_names_are_refused_until_a_map_says_what_they_are(animals, write, tmp_path):
    images, labels = animals.train.pixels(torch.arange(20)), animals.train.labels
    source = write("set", ["striped", "small"], images, labels)
    with pytest.raises(
        BadInputError, match=r"no class of animals .*'small', 'striped'; say which with --class-map FILE"
    ):
        import_set(source, "image-folder", animals)
    (tmp_path / "map.yaml").write_text("striped: zebra crossing\nsmall: 1\n")
    (made,) = import_set(source, "image-folder", animals, SourceFacts(class_map=tmp_path / "map.yaml")).sets
    assert torch.equal(made.images, images)
    for text, message in (
        ("striped: horse\nsmall: ant\n", "class map says 'horse'"),
        ("striped: ant\nsmall: ant\n", "all mean the class 'ant'"),
        ("striped: zebra crossing\nsmall: ant\nlarge: ant\n", "names 'large', which the source does not have"),
        ("- a\n", "must be lines of NAME: CLASS"),
    ):
        (tmp_path / "map.yaml").write_text(text)
        with pytest.raises(BadInputError, match=message):
            import_set(source, "image-folder", animals, SourceFacts(class_map=tmp_path / "map.yaml"))


def test_wordnet_ids_are_known(write):
    images, labels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8), torch.tensor([0, 0, 1, 1])
    real = make_real_dataset(
        "pair", (images, labels), (images, labels),
        class_names=("dog", "cat"), mean=(0.5,), std=(0.2,), class_ids=("n02", "n01"),
    )  # fmt: skip
    (made,) = import_set(write("ids", ["n02", "n01"], images, labels), "image-folder", real).sets
    assert torch.equal(made.images, images)
    assert made.provenance["imported"]["classes_by"] == "WordNet id"


def test_lossy_files_are_told_and_odd_ones_refused(imported, write, tmp_path, pixels, labels, write_image):
    names = [str(label) for label in range(10)]
    found = imported(write("jpeg", names, pixels, labels, "jpg"), "image-folder")
    assert any("20 of 20 images are JPEG" in note for note in found.notes)
    odd = write("odd", names, pixels, labels)
    write_image(odd / "3" / "wide.png", size=(9, 8))
    with pytest.raises(BadInputError, match="must be square and of one size, got 20 of 8x8, 1 of 9x8"):
        imported(odd, "image-folder")
    (odd / "3" / "wide.png").write_bytes(b"none")
    with pytest.raises(BadInputError, match="cannot read the image"):
        imported(odd, "image-folder")
    fewer = write("fewer", names[:9], pixels, labels)
    with pytest.raises(BadInputError, match="has nothing for 1 of 10 classes of digits: '9'"):
        imported(fewer, "image-folder")
    (fewer / "9").mkdir()
    with pytest.raises(DataMismatchError, match="holds no image"):
        imported(fewer, "image-folder")
    with pytest.raises(BadInputError, match="is not a folder"):
        imported(odd / "3" / "wide.png", "image-folder")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInputError, match="holds no folders"):
        imported(tmp_path / "none", "image-folder")


def test_numbers_that_are_not_the_classes_names_are_asked_about(imported, write, pixels, labels):
    """SVHN's own folders are called 1 to 10, where 10 is the digit 0."""
    source = write("svhn", [str(label or 10) for label in range(10)], pixels, labels)
    with pytest.raises(BadInputError, match="say which with --class-map"):
        imported(source, "image-folder")
