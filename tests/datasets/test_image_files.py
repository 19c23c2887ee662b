from __future__ import annotations

import pytest
import torch

from ddbench.datasets import _image_files
from ddbench.datasets._image_files import ImageFiles, open_images
from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import digest_files
from ddbench.image_files.class_folders import list_class_folders


@pytest.fixture
def listing(tmp_path, write_image):
    """Two classes, a with two images and b with one; red, green and blue."""
    write_image(tmp_path / "b" / "z.png", (0, 0, 255), (8, 12))
    write_image(tmp_path / "a" / "2.PNG", (0, 255, 0), (20, 10))
    write_image(tmp_path / "a" / "1.png", (255, 0, 0), (10, 10))
    return list_class_folders(tmp_path / name for name in ("a", "b"))


def test_few_images_are_held_as_one_tensor(listing):
    ((images, labels, _),) = open_images([listing], 8)
    assert isinstance(images, torch.Tensor)
    assert images.shape == (3, 3, 8, 8)
    assert images[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert labels.tolist() == [0, 0, 1]


def test_many_images_stay_in_their_files(listing, monkeypatch):
    ((held, *_),) = open_images([listing], 8)
    monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 3 * 3 * 8 * 8 - 1)
    ((source, labels, _),) = open_images([listing], 8)
    assert isinstance(source, ImageFiles)
    assert source.shape == held.shape
    chosen = torch.tensor([2, 0, 2])
    assert torch.equal(source[chosen], held[chosen])
    assert source[chosen].dtype == torch.uint8
    assert source[torch.tensor([], dtype=torch.int64)].shape == (0, 3, 8, 8)
    assert labels.tolist() == [0, 0, 1]


def test_an_image_that_is_not_held_is_decoded_once(listing, monkeypatch):
    source = ImageFiles(digest_files(listing[0]), 8)
    first = source[torch.tensor([2, 0])]
    monkeypatch.setattr(_image_files, "decode_images", lambda *args, **kwargs: pytest.fail("decoded again"))
    assert torch.equal(ImageFiles(digest_files(listing[0]), 8)[torch.tensor([2, 0])], first)
    with pytest.raises(pytest.fail.Exception):
        source[torch.tensor([1])]
    with pytest.raises(pytest.fail.Exception):
        ImageFiles(digest_files(listing[0]), 9)[torch.tensor([0])]


def test_images_too_many_for_the_disk_are_decoded_every_time(listing, monkeypatch):
    monkeypatch.setattr(_image_files, "ON_DISK_BYTES", 3 * 3 * 8 * 8 - 1)
    source = ImageFiles(digest_files(listing[0]), 8)
    source[torch.tensor([0])]
    monkeypatch.setattr(_image_files, "decode_images", lambda *args, **kwargs: pytest.fail("decoded again"))
    with pytest.raises(pytest.fail.Exception):
        source[torch.tensor([0])]


def test_all_splits_count_towards_what_is_held(listing, monkeypatch):
    monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 3 * 3 * 8 * 8)
    assert all(isinstance(images, ImageFiles) for images, *_ in open_images([listing, listing], 8))
    assert all(isinstance(images, torch.Tensor) for images, *_ in open_images([listing], 8))


def test_held_images_are_decoded_once(listing, monkeypatch):
    open_images([listing], 8)
    monkeypatch.setattr(_image_files, "decode_images", lambda *args, **kwargs: pytest.fail("decoded again"))
    ((images, *_),) = open_images([listing], 8)
    assert images[2, :, 0, 0].tolist() == [0, 0, 255]


def test_a_damaged_file_is_named_when_asked_for(listing):
    path = listing[0][1]
    path.write_bytes(path.read_bytes()[:30])
    source = ImageFiles(digest_files(listing[0]), 8)
    assert source[torch.tensor([0])].shape == (1, 3, 8, 8)
    with pytest.raises(DataMismatchError, match=r"2\.PNG"):
        source[torch.tensor([0, 1])]


def test_another_size_is_an_error_where_resizing_is_off(listing):
    with pytest.raises(DataMismatchError, match=r"2\.PNG should be 10x10, found 20x10"):
        open_images([listing], 10, resize=False)


def test_a_file_that_changes_after_its_set_was_opened_is_refused_and_not_kept(listing, write_image):
    source = ImageFiles(digest_files(listing[0]), 8)
    write_image(listing[0][1], (9, 9, 9), (20, 10))
    with pytest.raises(DataMismatchError, match=r"2\.PNG has changed since it was first read; start again"):
        source[torch.tensor([0, 1])]
    fresh = ImageFiles(digest_files(listing[0]), 8)
    assert fresh[torch.tensor([1])].eq(9).all()


def test_the_digest_is_of_bytes_and_size_held_or_not(listing, monkeypatch, write_image):
    (held,), (larger,) = open_images([listing], 8), open_images([listing], 9)
    monkeypatch.setattr(_image_files, "IN_MEMORY_BYTES", 0)
    (filed,) = open_images([listing], 8)
    assert filed.digest == held.digest != larger.digest
    write_image(listing[0][0], (9, 9, 9), (10, 10))
    assert open_images([listing], 8)[0].digest != held.digest
