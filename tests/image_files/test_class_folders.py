"""Tests of the search for images: what is found, in which order, and what is passed over and said."""

from __future__ import annotations

import os
import warnings

import pytest

from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import digest_files
from ddbench.image_files.class_folders import (
    HIDDEN,
    LINKED,
    LOOSE,
    OTHER_KIND,
    SPECIAL,
    PassedOver,
    class_names_in,
    list_class_folders,
    list_images,
    same_but_for_spelling,
)


@pytest.fixture
def listing(tmp_path, write_image):
    """Two classes, a with two images and b with one."""
    write_image(tmp_path / "b" / "z.png")
    write_image(tmp_path / "a" / "2.PNG")
    write_image(tmp_path / "a" / "1.png")
    return list_class_folders(tmp_path / name for name in ("a", "b"))


def test_files_come_in_label_order_and_sorted_within_a_class(listing):
    paths, labels = listing
    assert [path.name for path in paths] == ["1.png", "2.PNG", "z.png"]
    assert labels.tolist() == [0, 0, 1]


def test_other_and_hidden_files_are_left_out_and_counted_and_nested_ones_kept(tmp_path, write_image):
    write_image(tmp_path / "images" / "a.png")
    write_image(tmp_path / ".cache" / "thumbnail.png")
    write_image(tmp_path / "images" / "deep" / "__MACOSX" / "b.png")
    write_image(tmp_path / "images" / "deep" / ".hidden" / "c.png")
    for name in ("boxes.txt", "._a.png", "Thumbs.db", "images/a.gif", "images/.DS_Store", "png", ".png"):
        (tmp_path / name).touch()
    passed = PassedOver()
    assert list_images(tmp_path, passed) == [tmp_path / "images" / "a.png"]
    assert passed.counts == {HIDDEN: 7, OTHER_KIND: 3}
    assert passed.examples[OTHER_KIND] == [".txt", ".gif", "png"]


def test_links_to_folders_are_not_followed_and_links_to_files_are(tmp_path, write_image):
    write_image(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "again").symlink_to(tmp_path)
    (tmp_path / "c" / "b.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    os.mkfifo(tmp_path / "c" / "pipe.png")
    passed = PassedOver()
    assert list_images(tmp_path / "c", passed) == [tmp_path / "c" / "b.png"]
    assert passed.counts == {LINKED: 1, SPECIAL: 1}


def test_a_class_without_images_is_named(tmp_path, write_image):
    write_image(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataMismatchError, match=r"^folder [^\n]*b holds no image [^\n]*$"):
        list_class_folders(tmp_path / name for name in ("a", "b"))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataMismatchError, match=r"^the folder [^\n]*gone does not exist; check the path$"):
        list_images(tmp_path / "gone")


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "2", "1", "0", "11"], ["0", "1", "2", "10", "11"]),
        (["010", "2", "001"], ["001", "2", "010"]),
        (["10", "2", "cat"], ["10", "2", "cat"]),
        (["class10", "class2"], ["class10", "class2"]),
        (["٣", "10", "9"], ["10", "9", "٣"]),
    ],
    ids=["numbers", "padded", "one word", "words", "other digits"],
)
def test_folders_named_by_numbers_are_sorted_as_numbers(tmp_path, names, order):
    for name in names:
        (tmp_path / name).mkdir()
    assert class_names_in(tmp_path) == order


def test_what_stands_beside_class_folders_is_counted(tmp_path, write_image):
    for name in ("cat", ".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    write_image(tmp_path / "loose.png")
    (tmp_path / "README").touch()
    passed = PassedOver()
    assert class_names_in(tmp_path, passed) == ["cat"]
    assert passed.counts == {HIDDEN: 2, LOOSE: 1, OTHER_KIND: 1}


def test_one_line_says_what_was_passed_over_and_none_where_nothing_was(tmp_path):
    passed = PassedOver()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passed.warn(tmp_path)
    for number in range(5):
        passed.add(HIDDEN, f".{number}.jpg")
        passed.add(OTHER_KIND, f"{number}.txt")
    line = (
        r"passed over 5 hidden or a system's own \(\.0\.jpg, \.1\.jpg, \.2\.jpg\); 5 of kinds that are not read \(\.txt"
    )
    with pytest.warns(UserWarning, match=line) as caught:
        passed.warn(tmp_path)
    assert len(caught) == 1


def test_names_that_differ_in_case_or_unicode_form_are_found():
    names = ["cat", "Cat", "dog", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"]
    assert {frozenset(group) for group in same_but_for_spelling(names)} == {frozenset(names[:2]), frozenset(names[3:])}
    assert same_but_for_spelling(["a", "b"]) == []


def test_a_link_that_leads_back_to_itself_is_an_error_that_names_it(tmp_path, write_image):
    write_image(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "x.png").symlink_to("x.png")
    (tmp_path / "loop").symlink_to("loop")
    passed = PassedOver()
    assert class_names_in(tmp_path, passed) == ["a"]
    paths, _ = list_class_folders([tmp_path / "a"])
    with pytest.raises(DataMismatchError, match=r"x\.png .*loop"):
        digest_files(paths)


def test_class_folders_that_are_one_and_the_same_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "a")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    assert class_names_in(root) == ["a", "b"]
    (tmp_path / "a" / "inner").mkdir()
    for target, words in (
        ("a", "root/c shares images with the class 'a': one is a link; remove it"),
        ("a/inner", "root/c shares images with the class 'a'"),
        (".", "root/c is a link to all classes; give each class its own folder"),
        ("..", "root/c is a link to all classes"),
    ):
        (root / "c").symlink_to(target)
        with pytest.raises(DataMismatchError, match=words):
            class_names_in(root)
        (root / "c").unlink()
    (root / "0").symlink_to(tmp_path / "a" / "inner")  # before the class that it lies in
    with pytest.raises(DataMismatchError, match="root/a shares images with the class '0'"):
        class_names_in(root)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")  # noqa: PTH102 - a Path takes no bytes
    with pytest.raises(DataMismatchError, match=r"the folder 'caf.+' in .* is not text in UTF-8; rename it"):
        class_names_in(tmp_path)
