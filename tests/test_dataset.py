"""Names of data sets with a path and options: what is no such name is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.dataset import check_size, find_data_dir, load_dataset, parse_spec
from ddbench.errors import BadInputError, DDBenchError, UnknownNameError


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("cifar10", ("cifar10", {})),
        ("image_folder:/a b/c,size=64", ("image_folder", {"path": "/a b/c", "size": "64"})),
        ("imagenette, size = 128 ,source=x=y", ("imagenette", {"size": "128", "source": "x=y"})),
        ("image_folder:C:/x", ("image_folder", {"path": "C:/x"})),
    ],
)
def test_names_are_split_into_their_parts(spec, parsed):
    assert parse_spec(spec) == parsed


WRONG = {
    "a loader's own parameter": ("digits,data_dir=/", "dataset digits has no option 'data_dir'; see --data-dir"),
    "another of those": ("digits,download=true", "has no option 'download'; see ddbench doctor --download"),
    "an unknown option": ("digits,size=8", "dataset digits has no option 'size'; it takes none"),
    "a misspelt option": ("imagenette,siz=8", "dataset imagenette has no option 'siz'; did you mean size"),
    "no value": ("digits,size=", "must be key=value"),
    "no key": ("digits,=8", "must be key=value"),
    "neither": ("digits,", "must be key=value"),
    "a comma in a path": ("image_folder:/a,b", "a path may hold no comma"),
    "an option twice": ("imagenette,size=64,size=128", "each key once"),
    "an option twice, with blanks": ("imagenette,size=64, size=128", "each key once"),
    "a path twice": ("image_folder:/a,path=/b", "each key once"),
    "an empty path": ("image_folder:", "path of dataset image_folder is empty"),
    "a NUL byte": ("image_folder:a\0b", "holds a NUL byte"),
    "a long source": (f"imagenette,source={'x' * 5000}", "source of dataset imagenette xxx.*is too long"),
    "a size that is none": ("imagenette,size=64.0", "size must be a whole number of pixels from 8 to 1024, got '64.0'"),
    "a size of many digits": (f"imagenette,size={'9' * 5000}", "size must be a whole number of pixels"),
    "no text": (3, "a data set is given by its name, such as cifar10, got int 3"),
}


@pytest.mark.parametrize(("spec", "words"), WRONG.values(), ids=WRONG)
def test_wrong_names_are_told_in_one_line(spec, words, tmp_path):
    with pytest.raises(BadInputError, match=words) as caught:
        load_dataset(spec, tmp_path)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("name", ["", "DIGITS", "digits\0", "x" * 5000, "\u202edigits", "../digits", "_idx"])
def test_unknown_names_are_told_in_one_line(name, tmp_path):
    with pytest.raises(UnknownNameError, match=r"^unknown dataset ") as caught:
        load_dataset(name, tmp_path)
    assert len(str(caught.value)) <= 300
    assert str(caught.value).isprintable()


def test_other_case_is_no_hindrance_to_a_hint():
    with pytest.raises(UnknownNameError, match="did you mean cifar10"):
        load_dataset("CIFAR10")


def test_options_may_be_given_in_python(tmp_path):
    with pytest.raises(DDBenchError, match="should hold the folders train and test"):
        load_dataset("image_folder", path=tmp_path, size=32)
    with pytest.raises(BadInputError, match="has no option 'colour'"):
        load_dataset("image_folder", path=tmp_path, colour="red")


def test_the_data_folder_of_the_environment_is_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("DDBENCH_DATA_DIR", "x" * 5000)
    with pytest.raises(BadInputError, match=r"data folder x.* is too long"):
        find_data_dir()
    assert find_data_dir(tmp_path) == tmp_path
    monkeypatch.setenv("DDBENCH_DATA_DIR", "")
    assert find_data_dir().name == "data"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_data_dir("~/x") == Path(tmp_path / "x")


def test_sizes_are_whole_numbers_of_pixels():
    assert [check_size(size) for size in (8, "8", "1024")] == [8, 8, 1024]
    for size in (7, 1025, -8, 8.0, "8.0", "", "\u0661\u0662", "8\n", None, True, [8]):
        with pytest.raises(BadInputError, match="size must be a whole number of pixels"):
            check_size(size)
