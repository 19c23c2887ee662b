from __future__ import annotations

import pytest
import torch

from ddbench.datasets import _parquet
from ddbench.datasets._parquet import find_parquet, read_parquet_names, read_parquet_split
from ddbench.errors import DataMismatchError

GREY = {"num_classes": 10, "channels": 1, "size": 8}


def test_rows_of_several_files_come_in_file_order(tmp_path, encode, write_parquet, random_pixels):
    pixels = random_pixels(6, 8, 8, 3)
    encoded = [encode(p, "WEBP") for p in pixels]
    write_parquet(tmp_path / "train-00001-of-00002.parquet", encoded[4:], [4, 5])
    write_parquet(tmp_path / "train-00000-of-00002.parquet", encoded[:4], [0, 1, 2, 3])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", encoded[:1], [9])
    images, labels = read_parquet_split(find_parquet(tmp_path, "train"), num_classes=10, channels=3, size=8)
    assert torch.equal(images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("columns", [("image", "label"), ("img", "fine_label")])
def test_both_column_spellings_are_read(tmp_path, encode, write_parquet, random_pixels, columns):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(8, 8))], [3], columns=columns)
    assert read_parquet_split([path], **GREY)[1].tolist() == [3]


def test_second_read_decodes_nothing(tmp_path, encode, write_parquet, random_pixels, monkeypatch):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(8, 8))], [3])
    first = read_parquet_split([path], **GREY)
    monkeypatch.setattr(_parquet, "decode_images", lambda *args, **kwargs: pytest.fail("decoded again"))
    second = read_parquet_split([path], **GREY)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_each_size_is_decoded_for_itself(tmp_path, encode, write_parquet, random_pixels):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(16, 16))], [3])
    for size in (16, 8, 16):
        images, _ = read_parquet_split([path], num_classes=10, channels=1, size=size, resize=True)
        assert images.shape == (1, 1, size, size)


def test_stored_names_are_read(tmp_path, encode, write_parquet, random_pixels):
    path = write_parquet(tmp_path / "a-0.parquet", [encode(random_pixels(8, 8))] * 2, [0, 1], names=["x/a.png", None])
    assert read_parquet_names([path]) == ["x/a.png", ""]


@pytest.mark.parametrize("keep", [0, 3, 100, -9])
def test_a_truncated_file_is_named_in_one_line(tmp_path, encode, write_parquet, random_pixels, keep):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(8, 8))], [3])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataMismatchError, match=r"^[^\n]*train-0\.parquet is not a whole parquet file[^\n]*$"):
        read_parquet_split([path], **GREY)


def test_a_damaged_image_is_named_by_row_and_file(tmp_path, encode, write_parquet, random_pixels):
    good = encode(random_pixels(8, 8))
    path = write_parquet(tmp_path / "train-0.parquet", [good, good[:50]], [3, 4])
    with pytest.raises(DataMismatchError, match=r"in row 1 of [^\n]*train-0\.parquet"):
        read_parquet_split([path], **GREY)


def test_a_file_without_the_columns_is_named(tmp_path, encode, write_parquet, random_pixels):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(8, 8))], [3], columns=("photo", "label"))
    with pytest.raises(DataMismatchError, match="should have a column image or img, found photo, label"):
        read_parquet_split([path], **GREY)


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_outside_the_classes_is_an_error(tmp_path, encode, write_parquet, random_pixels, label):
    path = write_parquet(tmp_path / "train-0.parquet", [encode(random_pixels(8, 8))], [label])
    with pytest.raises(DataMismatchError, match=r"labels must lie in 0\.\.9"):
        read_parquet_split([path], **GREY)


@pytest.mark.parametrize(("has_image", "label"), [(True, None), (False, 3)])
def test_a_row_without_image_or_label_is_an_error(tmp_path, encode, write_parquet, random_pixels, has_image, label):
    image = encode(random_pixels(8, 8)) if has_image else None
    path = write_parquet(tmp_path / "train-0.parquet", [image], [label])
    with pytest.raises(DataMismatchError, match="rows without an image or a label"):
        read_parquet_split([path], **GREY)
