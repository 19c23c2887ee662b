from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

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


def fingerprint(folder, size=16):
    return load_dataset(f"image_folder:{folder},size={size}").info.fingerprint


def test_fingerprint_depends_on_content_and_not_on_place(folder, tmp_path, write_image):
    first = fingerprint(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    for path in moved.rglob("*.png"):
        os.utime(path, ns=(7, 7))
    assert fingerprint(moved) == first
    assert fingerprint(moved, size=8) != first
    write_image(moved / "train" / "cat" / "one_more.png")
    assert fingerprint(moved) != first


def test_labels_that_are_swapped_give_another_fingerprint(folder):
    first = load_dataset(f"image_folder:{folder},size=16").info
    for split in ("train", "val"):
        (folder / split / "cat").rename(folder / split / "was_cat")
        (folder / split / "dog").rename(folder / split / "cat")
        (folder / split / "was_cat").rename(folder / split / "dog")
    swapped = load_dataset(f"image_folder:{folder},size=16").info
    assert swapped.fingerprint != first.fingerprint
    assert swapped.layout == first.layout
    assert not swapped.is_fixed
    assert swapped.cell_fingerprint == swapped.fingerprint


def test_another_class_name_gives_another_fingerprint(folder):
    first = fingerprint(folder)
    for split in ("train", "val"):
        (folder / split / "dog").rename(folder / split / "fog")
    assert fingerprint(folder) != first


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_of_any_picture_gives_another_fingerprint(folder, data):
    paths = sorted(folder.rglob("*.png"))
    before = fingerprint(folder)
    path = data.draw(st.sampled_from(paths))
    content, status = path.read_bytes(), path.stat()
    pixels = np.asarray(Image.open(path)).copy()
    row, column = data.draw(st.integers(0, 15)), data.draw(st.integers(0, 19))
    pixels[row, column] ^= data.draw(st.integers(1, 255))
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(folder) != before
    path.write_bytes(content)  # the same bytes again, at another time
    assert fingerprint(folder) == before


def test_numbers_are_sorted_as_numbers(tmp_path, write_image):
    for split, first in (("train", 0), ("test", 100)):
        for number in range(12):
            write_image(tmp_path / split / str(number) / "0.png", first + number)
    real = load_dataset(f"image_folder:{tmp_path},size=8")
    assert real.info.class_names == tuple(map(str, range(12)))
    assert real.train.pixels(torch.arange(12))[:, 0, 0, 0].tolist() == list(range(12))


def test_what_is_passed_over_is_said_in_one_line(folder, write_image):
    for split in ("train", "val"):
        write_image(folder / split / "__MACOSX" / "cat" / "._0.png")
        write_image(folder / split / "cat" / ".thumbnails" / "0.png")
        write_image(folder / split / "loose.png")
        (folder / split / "dog" / "notes.txt").touch()
    with pytest.warns(UserWarning, match=r"skipped 4 hidden [^\n]*; 2 beside [^\n]*; 2 of kinds") as caught:
        real = load_dataset(f"image_folder:{folder},size=16")
    assert len(caught) == 1
    assert real.info.class_names == ("cat", "dog")
    assert (len(real.train), len(real.test)) == (6, 2)


def test_nothing_is_said_of_a_clean_folder(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(f"image_folder:{folder},size=16")


def test_classes_that_differ_in_case_alone_are_said(folder, write_image):
    write_image(folder / "train" / "Cat" / "0.png")
    with pytest.raises(
        DataMismatchError, match=r"only in train: Cat; only case or Unicode form tells apart Cat and cat;"
    ):
        load_dataset(f"image_folder:{folder}")
    write_image(folder / "val" / "Cat" / "0.png")
    with pytest.warns(UserWarning, match="tells apart Cat and cat; they count as separate classes$"):
        assert load_dataset(f"image_folder:{folder},size=16").info.num_classes == 3


def test_an_empty_file_is_named_before_anything_is_decoded(folder, monkeypatch):
    (folder / "val" / "dog" / "1.jpg").touch()
    monkeypatch.setattr(_image_files, "decode_images", lambda *args, **kwargs: pytest.fail("decoded"))
    with pytest.raises(DataMismatchError, match=r"1\.jpg should hold an image and is empty; [^\n]*$"):
        load_dataset(f"image_folder:{folder},size=16")


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


def test_a_test_folder_that_leads_to_the_training_folder_is_refused(folder):
    (folder / "test").symlink_to("train")
    with pytest.raises(DataMismatchError, match=r"test is the same folder as .*train, whose images train students"):
        load_dataset(f"image_folder:{folder},size=16")


@pytest.mark.parametrize("how", ["file", "broken link"])
def test_a_test_folder_that_is_none_does_not_make_way_for_a_validation_folder(folder, how):
    test = folder / "test"
    test.touch() if how == "file" else test.symlink_to("missing")
    with pytest.raises(DataMissingError, match="should hold the folders train and test"):
        load_dataset(f"image_folder:{folder},size=16")
