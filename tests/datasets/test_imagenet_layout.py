from __future__ import annotations

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.datasets import _imagenet_layout
from ddbench.datasets._imagenet_layout import load_imagenet_subset
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError

# Not in sorted order: label order is the list's.
CLASSES = (("n00000002", "two"), ("n00000001", "one"))


@pytest.fixture
def write_ilsvrc(write_image, monkeypatch):
    """A function that writes two images per class, which stand in for the number ILSVRC 2012 has."""
    monkeypatch.setattr(_imagenet_layout, "_TRAIN_RANGE", (2, 3))
    monkeypatch.setattr(_imagenet_layout, "_VALIDATION_COUNT", 2)

    def write(folder) -> None:
        for split in ("train", "val"):
            for wnid, shade in (("n00000001", 10), ("n00000002", 20), ("n00000003", 30)):
                for index in range(2):
                    write_image(folder / split / wnid / f"{index}.JPEG", shade, (30, 20))

    return write


@pytest.mark.parametrize("folder", ["imagenet", "pair"])
def test_both_places_are_read_with_labels_in_list_order(tmp_path, write_ilsvrc, folder):
    write_ilsvrc(tmp_path / folder)
    real = load_imagenet_subset("pair", CLASSES, tmp_path, size="16")
    assert real.info.name == "pair,size=16"
    assert real.info.class_ids == ("n00000002", "n00000001")
    assert real.info.class_names == ("two", "one")
    assert real.train.labels.tolist() == [0, 0, 1, 1]
    assert real.train.images[:, 0, 0, 0].tolist() == [20, 20, 10, 10]
    assert real.test.class_counts().tolist() == [2, 2]


def test_the_default_size_is_not_part_of_the_name(tmp_path, write_ilsvrc):
    write_ilsvrc(tmp_path / "imagenet")
    real = load_imagenet_subset("pair", CLASSES, tmp_path, size=224)
    assert (real.info.name, real.info.image_size) == ("pair", 224)


@pytest.mark.parametrize("split", ["train", "val"])
def test_other_images_are_not_taken_for_ilsvrc(tmp_path, write_ilsvrc, split):
    write_ilsvrc(tmp_path / "pair")
    (tmp_path / "pair" / split / "n00000001" / "0.JPEG").unlink()
    with pytest.raises(DataMismatchError, match=r"of ILSVRC 2012, found 1; [^\n]*pair,source=pair$"):
        load_imagenet_subset("pair", CLASSES, tmp_path, size=16)


def test_other_images_carry_their_own_name(tmp_path, write_image):
    for split in ("train", "val"):
        for wnid, _ in CLASSES:
            write_image(tmp_path / "pair-small" / split / wnid / "0.JPEG")
    small = load_imagenet_subset("pair", CLASSES, tmp_path, size=16, source="pair-small")
    assert small.info.name == "pair-small,size=16"
    (tmp_path / "pair-small").rename(tmp_path / "pair")
    same = load_imagenet_subset("pair", CLASSES, tmp_path, size=16, source="pair")
    assert same.info.name == "pair,source=pair,size=16"


def test_parquet_labels_come_from_the_file_names(tmp_path, encode, write_parquet, random_pixels):
    pixels = random_pixels(2, 8, 8, 3)
    names = ["train/n00000001/a.JPEG", "train/n00000002/b.JPEG"]
    for split in ("train", "val"):
        write_parquet(tmp_path / "few" / f"{split}-0.parquet", [encode(p) for p in pixels], [0, 1], names=names)
    real = load_imagenet_subset("pair", CLASSES, tmp_path, size=8, source="few")
    assert real.info.name == "few,size=8"
    assert real.train.labels.tolist() == [1, 0]
    assert torch.equal(real.train.images, torch.from_numpy(pixels).permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", ["", "train/n00000009/a.JPEG"])
def test_a_parquet_row_of_another_class_is_named(tmp_path, encode, write_parquet, random_pixels, name):
    for split in ("train", "val"):
        write_parquet(tmp_path / "few" / f"{split}-0.parquet", [encode(random_pixels(8, 8))], [0], names=[name])
    with pytest.raises(DataMismatchError, match=r"^row 0 of [^\n]*few/train-\*\.parquet should name a file"):
        load_imagenet_subset("pair", CLASSES, tmp_path, size=8, source="few")


def test_parquet_files_must_be_asked_for(tmp_path, encode, write_parquet, random_pixels):
    for split in ("train", "val"):
        names = ["n00000001/a.JPEG"]
        write_parquet(tmp_path / "pair-few" / f"{split}-0.parquet", [encode(random_pixels(8, 8))], [0], names=names)
    with pytest.raises(DataMissingError, match=r"pair,source=pair-few$"):
        load_imagenet_subset("pair", CLASSES, tmp_path, size=8)


def test_a_missing_class_folder_is_named(tmp_path, write_ilsvrc):
    write_ilsvrc(tmp_path / "pair")
    for path in (tmp_path / "pair" / "val" / "n00000001").iterdir():
        path.unlink()
    (tmp_path / "pair" / "val" / "n00000001").rmdir()
    with pytest.raises(DataMissingError, match="1 of 2 folders are missing in val, such as n00000001"):
        load_imagenet_subset("pair", CLASSES, tmp_path, size=8)


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataMissingError, match=r"nowhere should hold \{train,val\}/<WordNet id> or"):
        load_imagenet_subset("pair", CLASSES, tmp_path, size=8, source="nowhere")


@pytest.mark.parametrize("download", [False, True])
def test_missing_files_say_what_to_put_where(tmp_path, download):
    with pytest.raises(DataMissingError, match=r"put the ILSVRC 2012 images there") as error:
        load_dataset("imagewoof", tmp_path, download=download)
    assert str(tmp_path) in str(error.value)


def test_a_wrong_size_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(BadInputError, match="size must be a whole number"):
        load_dataset("imagenette,size=huge", tmp_path)
