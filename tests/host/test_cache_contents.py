"""Tests of what lies in the cache folder: what ddbench put there and nothing else, removed when nobody uses it."""

from __future__ import annotations

import os

import pytest
from filelock import FileLock

from ddbench.host.cache_contents import list_cache, remove
from ddbench.host.cached_work import MANIFEST, WorkKey, cached_work


def keep(kind: str, name: str, *, size: int = 10, used: float | None = None, dataset: str = "toy") -> WorkKey:
    key = WorkKey(kind, name, dataset, 1, {})
    with cached_work(key) as work:
        (work.folder / "file").write_bytes(bytes(size))
        work.keep()
    if used is not None:
        os.utime(key.folder / MANIFEST, (used, used))
    return key


def write(path, size=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


@pytest.fixture
def filled(own_cache):
    """A cache folder with one of everything, and things of other people's."""
    keep("prepared", "experts", size=1000, used=2000.0)
    keep("teachers", "resnet18", size=10, used=1000.0)
    damaged = keep("extractors", "convnet-d1")
    (damaged.folder / MANIFEST).write_text("{")
    write(own_cache / "prepared" / f"features-digits-{'0' * 16}" / ".unfinished" / "spent.json")
    write(own_cache / "prepared" / f"features-digits-{'1' * 16}" / "prepared.json")
    write(own_cache / "decoded" / f"{'a' * 32}.safetensors")
    write(own_cache / "unfinished" / ("b" * 16) / "matching.safetensors")
    write(own_cache / "native" / "block.so", 7)
    write(own_cache / "data" / "cifar10" / "train.parquet")
    write(own_cache / "thesis" / "chapter.tex")
    write(own_cache / "notes.txt")
    return own_cache


def test_all_of_ddbenchs_own_is_listed_and_nothing_else(filled):
    found = {(entry.kind, entry.name, entry.dataset, entry.state) for entry in list_cache()}
    assert found == {
        ("prepared", "experts", "toy", "kept"),
        ("teachers", "resnet18", "toy", "kept"),
        ("extractors", "convnet-d1-toy", "", "damaged"),
        ("prepared", "features-digits", "", "unfinished"),
        ("prepared", "features-digits", "", "of an older version"),
        ("decoded", "a" * 16, "", "of an older version"),
        ("unfinished", "distillation to resume", "", "kept"),
        ("native", "native code", "", "kept"),
    }


def test_sizes_and_times_of_use(filled):
    first, second, *_ = list_cache()
    assert (first.name, first.last_used) == ("resnet18", 1000.0)
    assert (second.name, second.last_used) == ("experts", 2000.0)
    assert second.num_bytes == 1000 + (second.path / MANIFEST).stat().st_size
    assert next(entry for entry in list_cache() if entry.kind == "native").num_bytes == 7


def test_removing_everything_leaves_what_is_not_ddbenchs(filled):
    assert all(remove(entry) for entry in list_cache())
    assert list_cache() == []
    files = {path.relative_to(filled).as_posix() for path in filled.rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith(".lock")} == {
        "data/cifar10/train.parquet",
        "thesis/chapter.tex",
        "notes.txt",
    }


def test_what_is_in_use_stays(own_cache):
    key = keep("prepared", "experts")
    (entry,) = list_cache()
    with FileLock(key.folder.with_name(f"{key.folder.name}.lock")):
        assert not remove(entry)
    assert key.folder.exists()
    assert remove(entry)


def test_a_link_is_removed_and_not_what_it_leads_to(own_cache, tmp_path):
    write(tmp_path / "elsewhere" / "file")
    (own_cache / "prepared").mkdir(parents=True)
    (own_cache / "prepared" / f"linked-{'c' * 16}").symlink_to(tmp_path / "elsewhere")
    (entry,) = list_cache()
    assert remove(entry) or not entry.path.is_symlink()
    assert (tmp_path / "elsewhere" / "file").exists()


def test_an_empty_cache_is_an_empty_list(own_cache):
    assert list_cache() == []
