"""Tests of distilled sets on disk: round trips, every kind of damage, and folders that are not ours."""

import json
import pickle
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import check_target, load_distilled, save_distilled
from ddbench.distilled.names import PICTURE, SIDECAR, TENSORS
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.files import CACHE_DIR_VARIABLE, sha256_of
from tests._sets import CLASSES, PROVENANCE, change_sidecar, make_set, make_whitening


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache folder for all tests of this file that ask for none of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_DIR_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def folder(tmp_path):
    """The folder of a saved set."""
    return make_set().save(tmp_path / "set")


def write_tensors(folder, **tensors):
    """Replace the tensor file, and the checksum with it, as only a deliberate hand would."""
    save_file(tensors, folder / TENSORS)
    change_sidecar(folder, sha256=sha256_of(folder / TENSORS))


@st.composite
def distilled_sets(draw):
    """Sets of every kind: every space, hard or soft labels, float32 or uint8, with and without ipc and student_lr."""
    num_classes, ipc, size = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    count, channels = num_classes * ipc, draw(st.sampled_from([1, 3]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    images = torch.randn(count, channels, size, size, generator=generator)
    space = draw(st.sampled_from(["normalised", "pixels", "zca"]))
    if space == "pixels":
        images = images.sigmoid()
        images = images.mul(255).to(torch.uint8) if draw(st.booleans()) else images
    labels = torch.arange(num_classes).repeat(ipc)[torch.randperm(count, generator=generator)]
    if draw(st.booleans()):
        labels = torch.rand(count, num_classes, generator=generator).softmax(1)
    return DistilledDataset(
        images=images.contiguous(memory_format=torch.channels_last) if draw(st.booleans()) else images,
        labels=labels,
        num_classes=num_classes,
        ipc=draw(st.sampled_from([ipc, None])),
        space=space,
        student_lr=draw(st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False)),
        whitening=make_whitening(channels * size * size) if space == "zca" else None,
        provenance=draw(st.dictionaries(st.text(max_size=5), st.none() | st.integers(0, 9) | st.text(max_size=5))),
    )


@settings(deadline=None, max_examples=20)
@given(distilled_sets())
def test_loaded_set_is_the_saved_one(distilled):
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_distilled(save_distilled(distilled, Path(folder) / "set"))
    for name in ("images", "labels"):
        saved, found = getattr(distilled, name), getattr(loaded, name)
        assert found.dtype == saved.dtype
        assert torch.equal(found, saved)
    for name in ("num_classes", "ipc", "space", "student_lr", "label_mode", "num_bytes"):
        assert getattr(loaded, name) == getattr(distilled, name)
    assert dict(loaded.provenance) == dict(distilled.provenance)
    assert (loaded.whitening is None) == (distilled.whitening is None)
    if loaded.whitening is not None:
        assert torch.equal(loaded.whitening.mean, distilled.whitening.mean)
        assert torch.equal(loaded.whitening.matrix, distilled.whitening.matrix)


def test_save_and_load_of_the_record_are_the_same(folder):
    assert DistilledDataset.load(str(folder)).provenance == PROVENANCE


def test_settings_that_are_not_finite_survive(tmp_path):
    saved = make_set(provenance={"config": {"clip": float("inf")}}).save(tmp_path / "set")
    assert load_distilled(saved).provenance["config"]["clip"] == float("inf")


def test_set_with_a_gradient_is_saved(tmp_path):
    images = make_set().images.clone().requires_grad_()
    assert not load_distilled(make_set(images=images).save(tmp_path / "set")).images.requires_grad


def test_folder_holds_two_files_and_no_pickle(folder):
    assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, TENSORS]
    assert json.loads((folder / SIDECAR).read_text())["provenance"] == PROVENANCE
    content = (folder / TENSORS).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])  # all of the format there is: a length, a JSON header, raw numbers
    assert {name: entry["dtype"] for name, entry in header.items()} == {"images": "F32", "labels": "I64"}
    first, last = header["images"]["data_offsets"]
    assert content[start + first : start + last] == make_set().images.numpy().tobytes()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickle_in_place_of_the_tensors_is_refused_and_not_run(folder, tmp_path):
    trap = Trap(tmp_path / "trapped")
    for write in (lambda path: path.write_bytes(pickle.dumps(trap)), lambda path: torch.save({"images": trap}, path)):
        write(folder / TENSORS)
        change_sidecar(folder, sha256=sha256_of(folder / TENSORS))
        with pytest.raises(DataMismatchError, match="does not hold images and labels"):
            load_distilled(folder)
    assert not trap.path.exists()


def truncate(folder):
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-7])


def flip_a_byte(folder):
    content = bytearray((folder / TENSORS).read_bytes())
    content[-5] ^= 1
    (folder / TENSORS).write_bytes(content)


def truncate_with_valid_checksum(folder):
    truncate(folder)
    change_sidecar(folder, sha256=sha256_of(folder / TENSORS))


def write_sidecar(text):
    return lambda folder: (folder / SIDECAR).write_bytes(text)


def with_sidecar(**changes):
    return lambda folder: change_sidecar(folder, **changes)


def drop_key(folder):
    content = json.loads((folder / SIDECAR).read_text())
    del content["space"]
    (folder / SIDECAR).write_text(json.dumps(content))


def with_tensors(**changes):
    def write(folder):
        tensors = {"images": make_set().images, "labels": make_set().labels, **changes}
        write_tensors(folder, **{name: tensor for name, tensor in tensors.items() if tensor is not None})

    return write


DAMAGES = {
    "truncated": (truncate, DataMismatchError, "truncated or altered"),
    "byte flipped": (flip_a_byte, DataMismatchError, "truncated or altered"),
    "empty": (lambda folder: (folder / TENSORS).write_bytes(b""), DataMismatchError, "truncated or altered"),
    "truncated, new checksum": (truncate_with_valid_checksum, DataMismatchError, "does not hold images and labels"),
    "no tensors": (lambda folder: (folder / TENSORS).unlink(), BadInputError, f"has no {TENSORS}"),
    "no sidecar": (lambda folder: (folder / SIDECAR).unlink(), BadInputError, f"has no {SIDECAR}"),
    "no labels": (with_tensors(labels=None), DataMismatchError, "does not hold images and labels"),
    "sidecar not JSON": (write_sidecar(b"{not json"), DataMismatchError, "is damaged"),
    "sidecar not text": (write_sidecar(b"\xff\xfe\x00"), DataMismatchError, "is damaged"),
    "sidecar empty": (write_sidecar(b""), DataMismatchError, "is damaged"),
    "sidecar a list": (write_sidecar(b"[1]"), DataMismatchError, "is damaged"),
    "extra key": (with_sidecar(surprise=1), DataMismatchError, "surprise"),
    "key missing": (drop_key, DataMismatchError, "space"),
    "whitening, other space": (with_sidecar(whitening="0" * 16), DataMismatchError, "whitening-0{16}.* is missing"),
    "whitening elsewhere": (with_sidecar(whitening="../../secrets123"), DataMismatchError, "whitening"),
    "zca without whitening": (with_sidecar(space="zca"), BadInputError, "got space 'zca' without a whitening"),
    "wrong type": (with_sidecar(num_classes="three"), DataMismatchError, "num_classes"),
    "wrong provenance": (with_sidecar(provenance=[1]), DataMismatchError, "provenance"),
    "other format": (with_sidecar(format="ddbench-distilled-9"), DataMismatchError, "format"),
    "other space": (with_sidecar(space="zca9"), DataMismatchError, "space"),
    "nan lr": (with_sidecar(student_lr=float("nan")), BadInputError, "student_lr must be a positive number"),
    "lr as text": (
        with_sidecar(student_lr="0.1"),
        DataMismatchError,
        "student_lr: should be a valid number, got '0.1'",
    ),
    "lr as a bool": (
        with_sidecar(student_lr=True),
        DataMismatchError,
        "student_lr: should be a valid number, got True",
    ),
    "too few classes": (with_sidecar(num_classes=2, ipc=3), BadInputError, "labels must lie in 0..1"),
    "too many classes": (with_sidecar(num_classes=4), BadInputError, "4 classes at ipc 2 has 8 images, got 6"),
    "other ipc": (with_sidecar(ipc=1), BadInputError, "3 classes at ipc 1 has 3 images, got 6"),
    "nan pixels": (with_tensors(images=torch.full((6, 3, 4, 4), torch.nan)), BadInputError, "6 of 6 .* hold NaN"),
    "double pixels": (with_tensors(images=torch.zeros(6, 3, 4, 4).double()), BadInputError, "float16 or uint8"),
}


@pytest.mark.parametrize(("damage", "error", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_one_line_and_the_right_error(folder, damage, error, message):
    damage(folder)
    with pytest.raises(error, match=message) as caught:
        load_distilled(folder)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_tensors_is_noticed(folder):
    whole = (folder / TENSORS).read_bytes()
    for position in range(0, len(whole), 47):
        (folder / TENSORS).write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(DataMismatchError):
            load_distilled(folder)


def test_every_flipped_byte_of_the_sidecar_is_noticed_or_of_no_meaning(folder):
    whole = (folder / SIDECAR).read_bytes()
    expected = load_distilled(folder)
    for position in range(len(whole)):
        (folder / SIDECAR).write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            found = load_distilled(folder)
        except DataMismatchError:
            continue
        names = ("num_classes", "ipc", "space", "student_lr", "provenance")
        assert all(getattr(found, name) == getattr(expected, name) for name in names), position


@pytest.mark.parametrize(
    "changes",
    [{"student_lr": 0.5}, {"provenance": {"method": "other"}}, {"provenance": {}}],
    ids=["student_lr", "method", "provenance"],
)
def test_a_changed_field_of_the_sidecar_is_noticed(folder, changes):
    content = json.loads((folder / SIDECAR).read_text())
    (folder / SIDECAR).write_text(json.dumps({**content, **changes}))
    with pytest.raises(DataMismatchError, match=r"distilled\.json was altered: its digest differs; copy the set again"):
        load_distilled(folder)


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        ({"phases": "none"}, "provenance.phases: should be a valid list, got 'none'"),
        ({"phases": [{"name": "lunch"}]}, "provenance.phases.0.name: should be 'first_use', "),
        ({"config": [1]}, "provenance.config: should be a valid dictionary, got a list of 1"),
        ({"dataset": 5}, "provenance.dataset: should be a valid string, got 5"),
        ({"method": None}, "provenance.method: should be a valid string, got None"),
        ({"distill_seed": "0"}, "provenance.distill_seed: should be a valid integer, got '0'"),
        ({"distill_seed": True}, "provenance.distill_seed: should be a valid integer, got True"),
        ({"share_prepare": 1}, "provenance.share_prepare: should be a valid boolean, got 1"),
        ({"foundation": []}, "provenance.foundation: should be a valid string, got a list of 0"),
        ({"engine": "fast"}, "provenance.engine: should be a valid dictionary, got 'fast'"),
        ({"class_names": 3}, "provenance.class_names: should be a valid list, got 3"),
    ],
)
def test_provenance_of_the_wrong_type_is_one_line(folder, provenance, words):
    change_sidecar(folder, provenance=provenance)
    with pytest.raises(DataMismatchError, match=re.escape(f"is damaged: {words}")) as caught:
        load_distilled(folder)
    assert len(str(caught.value)) <= 300
    assert "pydantic" not in str(caught.value)


def test_provenance_may_say_more_and_less(folder):
    change_sidecar(folder, provenance={"found": "on the street"})
    assert load_distilled(folder).provenance == {"found": "on the street"}


@pytest.mark.parametrize("path", ["missing", "file"])
def test_place_without_a_set_is_named(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match=f"{path} is not a distilled set: it has no {TENSORS}; name the folder"):
        load_distilled(tmp_path / path)


@pytest.mark.parametrize("name", ["notes.txt", "thesis", PICTURE])
def test_folder_of_something_else_is_never_overwritten(tmp_path, name):
    target = tmp_path / "mine"
    target.mkdir()
    (target / name).write_text("precious")
    with pytest.raises(BadInputError, match="mine exists and is not a distilled set; choose a new folder"):
        make_set().save(target)
    assert [path.name for path in target.iterdir()] == [name]
    assert (target / name).read_text() == "precious"


def test_set_with_a_stranger_beside_it_is_never_overwritten(folder):
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(BadInputError, match="is not a distilled set"):
        make_set().save(folder)
    assert (folder / "notes.txt").read_text() == "precious"
    assert torch.equal(load_distilled(folder).images, make_set().images)


def test_file_is_never_overwritten(tmp_path):
    (tmp_path / "file").write_text("precious")
    for target in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(BadInputError):
            check_target(target)
        with pytest.raises(BadInputError):
            make_set().save(target)
    assert (tmp_path / "file").read_text() == "precious"


def test_older_set_and_its_picture_are_replaced_whole(folder):
    (folder / PICTURE).touch()
    check_target(folder)
    make_set(ipc=None).save(folder)
    assert load_distilled(folder).ipc is None
    assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, TENSORS]


def test_empty_folder_and_missing_parents_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    assert make_set().save(tmp_path / "empty") == tmp_path / "empty"
    assert load_distilled(make_set().save(tmp_path / "a" / "b" / "set")).num_classes == CLASSES
