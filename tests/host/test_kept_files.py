"""Tests of files that say what they are of: what comes back, and what is noticed."""

from __future__ import annotations

import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.kept_files import SEAL, is_kept_folder, is_kept_whole, read_kept, save_kept, seal

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "number": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "flags": torch.tensor([True, False]),
    "half": torch.ones(3, dtype=torch.bfloat16),
}


@pytest.fixture
def path(own_cache):
    folder = own_cache / "prepared" / "work-1"
    folder.mkdir(parents=True)
    return folder / "part.safetensors"


def test_tensors_and_words_come_back(path):
    save_kept(TENSORS, path, {"done": "3"})
    tensors, said = read_kept(path)
    assert said == {"done": "3"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_what_is_no_plain_tensor_is_kept_as_one(path):
    weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3).t())
    save_kept({"weight": weight}, path)
    assert torch.equal(read_kept(path)[0]["weight"], weight.detach())


def test_every_flipped_bit_is_noticed_or_of_no_meaning(path):
    save_kept(TENSORS, path, {"done": "3"})
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            tensors, said = read_kept(path)
        except DataMismatchError:
            noticed += 1
        else:
            assert said == {"done": "3"}
            assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert noticed > 0.3 * len(whole)


def test_a_file_in_the_place_of_another_is_noticed(path):
    save_kept(TENSORS, path)
    for other in (path.with_name("other.safetensors"), path.parent.parent / "work-2" / path.name):
        other.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, other)
        with pytest.raises(DataMismatchError, match="is of other work, of prepared/work-1/part"):
            read_kept(other)


def test_a_moved_cache_is_still_whole(path, tmp_path, monkeypatch):
    save_kept(TENSORS, path)
    (tmp_path / "cache").rename(tmp_path / "moved")
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path / "moved"))
    assert read_kept(tmp_path / "moved" / "prepared" / "work-1" / "part.safetensors")[1] == {}


def test_a_file_without_a_digest_or_without_a_file_is_refused(path):
    with pytest.raises(DataMismatchError, match="does not exist"):
        read_kept(path)
    save_file(TENSORS, path)
    with pytest.raises(DataMismatchError, match="has no digest of its content: an older version wrote it"):
        read_kept(path)


def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(path):
    with pytest.raises(BadInputError, match="cannot write"):
        save_kept(TENSORS, path.parent / "missing" / "x.safetensors")
    assert list(path.parent.iterdir()) == []


def test_other_programs_can_read_it(path):
    save_kept(TENSORS, path)
    assert load_file(path).keys() == TENSORS.keys()


def test_a_part_that_is_whole_is_used_and_a_damaged_one_goes_with_one_warning(path):
    assert not is_kept_whole(path)
    save_kept(TENSORS, path, {"network": "mlp"})
    assert is_kept_whole(path)
    assert is_kept_whole(path, {"network": "mlp"})
    with pytest.warns(UserWarning, match="made again: .* is of another network: mlp instead of convnet") as caught:
        assert not is_kept_whole(path, {"network": "convnet"})
    assert len(caught) == 1
    assert not path.exists()


@pytest.mark.parametrize("damage", ["flipped", "stranger", "seal", "moved"])
def test_a_sealed_folder_is_used_as_it_was_and_goes_with_one_warning(damage, path):
    staging, folder = path.parent / "staging", path.parent / "denoiser"
    staging.mkdir()
    (staging / "weights").write_bytes(b"weights")
    (staging / "config.json").write_text("{}")
    seal(staging, folder)
    staging.rename(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_kept_folder(folder)
        assert not is_kept_folder(staging)
    if damage == "flipped":
        (folder / "weights").write_bytes(b"weighty")
    elif damage == "stranger":
        (folder / "more").write_bytes(b"")
    elif damage == "seal":
        (folder / SEAL).write_text("[]")
    else:
        folder = folder.rename(path.parent / "other")
    with pytest.warns(UserWarning, match=r"is made again: .* is damaged") as caught:
        assert not is_kept_folder(folder)
    assert len(caught) == 1
    assert not folder.exists()


@pytest.mark.parametrize("lost", ["weights", SEAL])
def test_a_sealed_folder_that_lacks_a_file_goes_without_a_word(lost, path):
    folder = path.parent / "denoiser"
    folder.mkdir()
    (folder / "weights").write_bytes(b"weights")
    seal(folder, folder)
    (folder / lost).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_kept_folder(folder)
    assert not folder.exists()
