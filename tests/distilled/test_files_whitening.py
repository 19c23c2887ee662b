"""Tests of the whitening beside a distilled set: shared with the cache, damaged, copied."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from ddbench.distilled import files as module
from ddbench.distilled.files import check_target, load_distilled
from ddbench.distilled.names import PICTURE, SIDECAR, TENSORS
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.files import CACHE_DIR_VARIABLE
from tests._sets import IPC, make_set, make_whitening


@pytest.fixture
def folder(tmp_path):
    """The folder of a saved set."""
    return make_set().save(tmp_path / "set")


def make_whitened(**changes):
    return make_set(**{"space": "zca", "whitening": make_whitening(), **changes})


def whitening_of(folder):
    """The one whitening file in the folder of a set."""
    (path,) = folder.glob("whitening-*")
    return path


def cached(cache):
    (path,) = (cache / "whitening").glob("*/whitening-*")
    return path


def test_whitening_is_named_by_its_hash_in_folder_sidecar_and_cache(tmp_path, own_cache):
    name = make_whitening().hash
    folder = make_whitened().save(tmp_path / "set")
    assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, TENSORS, f"whitening-{name}.safetensors"]
    assert json.loads((folder / SIDECAR).read_text())["whitening"] == name
    assert cached(own_cache).name == f"whitening-{name}.safetensors"


def test_sets_share_one_whitening_on_disk_with_the_cache(tmp_path, own_cache):
    folders = [make_whitened(ipc=ipc).save(tmp_path / str(ipc)) for ipc in (IPC, None)]
    again = load_distilled(folders[0]).save(tmp_path / "again")
    for folder in (*folders, again):
        assert whitening_of(folder).samefile(cached(own_cache))
    assert cached(own_cache).stat().st_nlink == 4


def test_another_whitening_is_another_file(tmp_path, own_cache):
    for seed in (0, 1):
        make_whitened(whitening=make_whitening(seed=seed)).save(tmp_path / str(seed))
    assert len(list((own_cache / "whitening").glob("*/whitening-*"))) == 2
    for seed in (0, 1):
        assert load_distilled(tmp_path / str(seed)).whitening.hash == make_whitening(seed=seed).hash


def test_sets_without_whitening_leave_the_cache_alone(tmp_path, own_cache):
    make_set().save(tmp_path / "set")
    assert not own_cache.exists()


def refuse_links(*_):
    raise OSError(18, "Invalid cross-device link")


def test_set_on_another_file_system_gets_a_file_of_its_own(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(os, "link", refuse_links)
    folder = make_whitened().save(tmp_path / "set")
    assert not whitening_of(folder).samefile(cached(own_cache))
    assert load_distilled(folder).whitening.hash == make_whitening().hash


def test_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "file" / "below"))
    folder = make_whitened().save(tmp_path / "set")
    assert load_distilled(folder).whitening.hash == make_whitening().hash


def test_folder_copied_elsewhere_needs_nothing_else(tmp_path, own_cache):
    make_whitened().save(tmp_path / "set")
    copy = shutil.copytree(tmp_path / "set", tmp_path / "elsewhere" / "copy")
    shutil.rmtree(own_cache)
    shutil.rmtree(tmp_path / "set")
    assert torch.equal(load_distilled(copy).whitening.matrix, make_whitening().matrix)
    assert not own_cache.exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def swap(path):
    """Whole, but another whitening."""
    other = make_whitening(seed=1)
    save_file({"mean": other.mean, "matrix": other.matrix}, path)


def retype(path):
    """The right bytes, called by another type."""
    whitening = make_whitening()
    save_file({"mean": whitening.mean, "matrix": whitening.matrix.view(torch.int32)}, path)


def rename(path):
    whitening = make_whitening()
    save_file({"mean": whitening.mean, "matrices": whitening.matrix}, path)


WHITENING_DAMAGES = {
    "truncated": (cut, "truncated or altered"),
    "byte flipped": (flip, "truncated or altered: its checksum differs"),
    "empty": (lambda path: path.write_bytes(b""), "truncated or altered"),
    "another": (swap, "truncated or altered: its checksum differs"),
    "other type": (retype, "truncated or altered: .*float32"),
    "no matrix": (rename, "truncated or altered: .*matrix"),
    "missing": (lambda path: path.unlink(), "is missing and the set cannot be used without it"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is missing"),
}


@pytest.mark.parametrize(("damage", "message"), WHITENING_DAMAGES.values(), ids=WHITENING_DAMAGES)
def test_damage_to_the_whitening_is_one_line(tmp_path, own_cache, damage, message):
    folder = make_whitened().save(tmp_path / "set")
    damage(whitening_of(folder))
    with pytest.raises(DataMismatchError, match=f"whitening-.*{message}.*copy the .*set again") as caught:
        load_distilled(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [cut, flip, swap, retype, rename], ids=lambda damage: damage.__name__)
def test_a_damaged_copy_in_the_cache_is_not_used_and_made_again(tmp_path, own_cache, damage):
    first = make_whitened().save(tmp_path / "first")
    damage(cached(own_cache))
    before = whitening_of(first).read_bytes()
    with pytest.warns(UserWarning, match="is made again: whitening-.* is missing or altered$"):
        second = make_whitened().save(tmp_path / "second")
    assert load_distilled(second).whitening.hash == make_whitening().hash
    assert whitening_of(second).samefile(cached(own_cache))
    assert whitening_of(first).read_bytes() == before  # a set that shares the damage says so itself when it is loaded
    assert load_distilled(make_whitened().save(first)).whitening.hash == make_whitening().hash


def test_whole_cache_is_not_written_again(tmp_path, own_cache, monkeypatch):
    make_whitened().save(tmp_path / "first")
    monkeypatch.setattr(module, "_write_whitening", None)
    assert load_distilled(make_whitened().save(tmp_path / "second")).whitening.hash == make_whitening().hash


def test_sidecar_from_before_there_were_whitenings_loads(folder):
    content = json.loads((folder / SIDECAR).read_text())
    assert content.pop("whitening") is None
    del content["digest"]
    (folder / SIDECAR).write_text(json.dumps(content))
    assert load_distilled(folder).whitening is None


def test_whitened_set_is_replaced_whole(tmp_path, own_cache):
    folder = make_whitened().save(tmp_path / "set")
    (folder / PICTURE).touch()
    check_target(folder)
    make_whitened(whitening=make_whitening(seed=1)).save(folder)
    assert whitening_of(folder).name == f"whitening-{make_whitening(seed=1).hash}.safetensors"
    make_set().save(folder)
    assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, TENSORS]


@pytest.mark.parametrize("name", ["whitening-0.safetensors", f"whitening-{'0' * 16}.safetensors", "whitening-thesis"])
def test_folder_with_nothing_but_a_whitening_or_its_like_is_never_overwritten(tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("precious")
    with pytest.raises(BadInputError, match="is not a distilled set"):
        make_whitened().save(tmp_path / "mine")
    assert (tmp_path / "mine" / name).read_text() == "precious"
