"""Tests of importing data sets in the Hugging Face layout, and of what in one is refused."""

import json
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ddbench.errors import BadInputError, DDBenchError


@pytest.fixture
def write(tmp_path, encode, pixels, labels):
    """A function that writes a parquet file of the set, with other columns or names where told."""

    def write(name="data/train-00000-of-00001.parquet", names=None, **columns):
        images = [{"bytes": encode(image[0].numpy()), "path": None} for image in pixels]
        table = {"image": images, "label": labels.tolist(), **columns}
        made = pa.table({key: pa.array(value) for key, value in table.items() if value is not None})
        if names is not None:
            features = {"label": {"names": names, "_type": "ClassLabel"}}
            made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, path)
        return tmp_path / "set"

    return write


def test_labels_follow_class_names_not_their_numbers(imported, write, pixels, labels):
    names = [str(9 - index) for index in range(10)]  # label 0 there is class 9 here
    (made,) = imported(write(names=names), "huggingface").sets
    assert torch.equal(made.images, pixels)
    assert torch.equal(made.labels, 9 - labels)
    assert made.provenance["imported"]["classes_by"] == "class name"


def test_labels_without_names_are_taken_as_they_are_and_texts_matched(imported, write, labels):
    found = imported(write(), "huggingface")
    assert torch.equal(found.sets[0].labels, labels)
    assert any("the files name no classes" in note for note in found.notes)
    texts = imported(write(label=[str(label) for label in labels.tolist()]), "huggingface")
    assert torch.equal(texts.sets[0].labels, labels)


def test_soft_labels_and_the_training_split_are_found(imported, write, labels):
    soft = (torch.nn.functional.one_hot(labels, 10) * 3.0).softmax(1)
    write("data/test-00000-of-00001.parquet")
    folder = write(soft_label=soft.tolist())
    assert torch.allclose(imported(folder, "huggingface").sets[0].labels, soft)


def test_what_is_no_set_is_refused(imported, write, tmp_path, labels):
    with pytest.raises(BadInputError, match=r"no column of images: it has label, picture"):
        imported(write(image=None, picture=list(range(20))), "huggingface")
    with pytest.raises(BadInputError, match="names image files and does not hold them"):
        imported(write(image=[{"bytes": None, "path": "a.png"}] * 20), "huggingface")
    with pytest.raises(BadInputError, match="labels of a data set must be numbers or class names"):
        imported(write(label=[None, *labels.tolist()[1:]]), "huggingface")
    with pytest.raises(BadInputError, match="a label is not below 2"):
        imported(write(names=["a", "b"]), "huggingface")
    (tmp_path / "set" / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInputError, match="is damaged or no data set file"):
        imported(tmp_path / "set", "huggingface")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInputError, match=r"has no \.parquet or \.arrow files"):
        imported(tmp_path / "none", "huggingface")


def test_several_splits_need_a_name_and_the_hub_a_word(imported, write, tmp_path):
    write("validation-00000-of-00001.parquet")
    folder = write("test-00000-of-00001.parquet")
    with pytest.raises(BadInputError, match="has the splits test, validation; name the file"):
        imported(folder, "huggingface")
    assert imported(folder / "test-00000-of-00001.parquet", "huggingface").sets[0].ipc == 2
    with pytest.raises(BadInputError, match="does not exist"):
        imported(tmp_path / "someone" / "set", "huggingface")


def test_soft_labels_follow_class_names_too(imported, write, labels):
    names = [str(9 - index) for index in range(10)]
    soft = (torch.nn.functional.one_hot(labels, 10) * 3.0).softmax(1)
    (made,) = imported(write(names=names, soft_label=soft.tolist()), "huggingface").sets
    assert torch.equal(made.classes, 9 - labels)


@pytest.mark.parametrize(
    "rows", [[[0.5, 0.5]] * 19 + [[1.0]], [None] * 20, [["a"] * 10] * 20], ids=["ragged", "null", "text"]
)
def test_odd_columns_are_one_line(imported, write, rows):
    with pytest.raises(BadInputError):
        imported(write(soft_label=rows), "huggingface")
    with pytest.raises(BadInputError):
        imported(write(label=[2**40] * 20), "huggingface")


def test_splits_and_caches_of_datasets_are_told_apart(imported, tmp_path, write):
    datasets = pytest.importorskip("datasets")
    folder = write(names=[str(index) for index in range(10)])
    read = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    datasets.DatasetDict(validation=read, test=read).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(BadInputError, match="has the splits test, validation"):
        imported(tmp_path / "two", "huggingface")
    read.save_to_disk(str(tmp_path / "one"))
    datasets.load_from_disk(str(tmp_path / "one")).map(lambda row: row)
    assert imported(tmp_path / "one", "huggingface").sets[0].ipc == 2


def test_a_damaged_arrow_file_is_one_line(imported, tmp_path, write):
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset(str(write()), split="train", cache_dir=str(tmp_path / "cache"))
    read.save_to_disk(str(tmp_path / "disk"))
    (path,) = (tmp_path / "disk").glob("data-*.arrow")
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with suppress(DDBenchError):  # of those a changed value leaves whole
            imported(tmp_path / "disk", "huggingface")
