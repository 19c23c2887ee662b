"""Tests of images kept on disk one by one: each decoded once, none ever wrong."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ddbench.datasets._row_cache import RowCache

SHAPE = (3, 4, 5)
IMAGES = torch.randint(256, (6, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def cache(tmp_path: Path) -> RowCache:
    return RowCache(tmp_path / "deep" / "set.rows", SHAPE)


@pytest.fixture
def decoding() -> tuple[list[int], Callable[[list[int]], Tensor]]:
    decoded: list[int] = []

    def decode(rows: list[int]) -> Tensor:
        decoded.extend(rows)
        return IMAGES[rows]

    return decoded, decode


def test_an_image_is_decoded_when_first_asked_for_and_read_ever_after(cache, decoding):
    decoded, decode = decoding
    for rows in ([4, 1], [1, 4, 2], [2, 2, 4], []):
        assert torch.equal(cache.read(rows, decode), IMAGES[rows])
    assert decoded == [4, 1, 2]
    assert torch.equal(RowCache(cache.path, SHAPE).read([4], decode), IMAGES[[4]])
    assert decoded == [4, 1, 2]


def test_an_image_asked_for_twice_at_once_comes_twice(cache, decoding):
    assert torch.equal(cache.read([3, 3, 0, 3], decoding[1]), IMAGES[[3, 3, 0, 3]])


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "zeroed"])
def test_a_damaged_row_is_decoded_again_and_kept(cache, decoding, damage):
    decoded, decode = decoding
    cache.read(list(range(6)), decode)
    content = bytearray(cache.path.read_bytes())
    row_bytes = len(content) // 6
    match damage:
        case "flipped":
            content[5 * row_bytes + 30] ^= 1
        case "truncated":
            del content[-7:]
        case "emptied":
            content.clear()
        case "zeroed":
            content[5 * row_bytes :] = bytes(row_bytes)
    cache.path.write_bytes(content)
    decoded.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert torch.equal(cache.read([5, 5], decode), IMAGES[[5, 5]])
    # What is missing may never have been written: of that there is no word.
    assert len(caught) == (damage == "flipped")
    assert 5 in decoded
    decoded.clear()
    assert torch.equal(cache.read([5], decode), IMAGES[[5]])
    assert decoded == []


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path, decoding):
    (tmp_path / "file").write_text("in the way")
    cache = RowCache(tmp_path / "file" / "set.rows", SHAPE)
    for _ in range(2):
        assert torch.equal(cache.read([0, 5], decoding[1]), IMAGES[[0, 5]])
    assert decoding[0] == [0, 5, 0, 5]


def test_a_full_disk_costs_only_time(cache, decoding, monkeypatch):
    def fail(self: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", fail)
    assert torch.equal(cache.read([2], decoding[1]), IMAGES[[2]])


def test_what_cannot_be_decoded_is_not_kept(cache, decoding):
    def fail(rows: list[int]) -> Tensor:
        raise ValueError("not an image")

    with pytest.raises(ValueError, match="not an image"):
        cache.read([0], fail)
    assert torch.equal(cache.read([0], decoding[1]), IMAGES[[0]])


def test_of_many_damaged_rows_there_is_one_warning(cache, decoding):
    cache.read(list(range(6)), decoding[1])
    content = bytearray(cache.path.read_bytes())
    for row in range(6):
        content[row * (len(content) // 6) + 20] ^= 1
    cache.path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for rows in ([0, 1, 2], [3, 4], [5]):
            assert torch.equal(cache.read(rows, decoding[1]), IMAGES[rows])
    (warning,) = caught
    assert str(warning.message).endswith("is damaged or belongs to other work; those images are decoded again")


def test_rows_of_another_place_are_not_taken(cache, decoding):
    decoded, decode = decoding
    cache.read(list(range(6)), decode)
    content = cache.path.read_bytes()
    length = len(content) // 6
    cache.path.write_bytes(content[length : 2 * length] + content[:length] + content[2 * length :])
    decoded.clear()
    with pytest.warns(UserWarning, match="damaged or belongs to other work"):
        assert torch.equal(cache.read(list(range(6)), decode), IMAGES)
    assert decoded == [0, 1]


def test_rows_of_another_file_are_not_taken(cache, decoding, tmp_path):
    other = RowCache(tmp_path / "other" / "set.rows", SHAPE)
    other.read(list(range(6)), lambda rows: 255 - IMAGES[rows])
    cache.path.parent.mkdir()
    cache.path.write_bytes(other.path.read_bytes())
    with pytest.warns(UserWarning, match="damaged or belongs to other work") as caught:
        assert torch.equal(cache.read(list(range(6)), decoding[1]), IMAGES)
    assert len(caught) == 1


def test_rows_of_an_older_version_are_decoded_again_without_a_word(cache, decoding):
    cache.path.parent.mkdir()
    cache.path.write_bytes(
        b"".join(zlib.crc32(image.numpy().data).to_bytes(4, "little") + image.numpy().tobytes() for image in IMAGES)
    )
    assert torch.equal(cache.read(list(range(6)), decoding[1]), IMAGES)
    assert decoding[0] == list(range(6))
