"""Tests of the search for images: what is found, in which order, and what is passed over and said."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import xxhash

from ddbench.errors import DataMismatchError
from ddbench.host import file_digests
from ddbench.host.file_digests import digest_files, recomputed_digests
from ddbench.host.file_index import LIST_FILE
from ddbench.image_files import class_folders
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
    line = r"skipped 5 hidden or a system's own \(\.0\.jpg, \.1\.jpg, \.2\.jpg\); 5 of kinds that are not read \(\.txt"
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


@pytest.fixture
def settled(own_cache, monkeypatch):
    """An empty cache; files and folders count as settled at once, and nothing is known from another test."""
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", -1.0)
    monkeypatch.setattr(file_digests, "_known", {})
    return own_cache


def searched_again(folders, monkeypatch):
    """What a new process lists, and whether it has searched the folders for it."""
    file_digests._known.clear()
    searches = []
    plain = class_folders._search
    with monkeypatch.context() as patch:
        patch.setattr(class_folders, "_search", lambda *args, **kwargs: searches.append(1) or plain(*args, **kwargs))
        passed = PassedOver()
        paths, labels = list_class_folders(folders, passed)
    return list(paths), labels.tolist(), passed, bool(searches)


@pytest.mark.parametrize("change", ["nothing", "added", "removed", "nested", "content"])
def test_a_kept_list_holds_until_a_folder_changes(tmp_path, write_image, settled, monkeypatch, change):
    for name in ("a/1.png", "a/2.png", "a/deep/3.png", "b/4.png"):
        write_image(tmp_path / name)
    (tmp_path / "a" / "notes.txt").touch()
    folders = [tmp_path / "b", tmp_path / "a"]
    digest_files(list_class_folders(folders)[0])
    match change:
        case "added":
            write_image(tmp_path / "a" / "0.png")
        case "removed":
            (tmp_path / "a" / "2.png").unlink()
        case "nested":
            write_image(tmp_path / "a" / "deep" / "5.png")
        case "content":
            write_image(tmp_path / "a" / "2.png", 77)
    paths, labels, passed, was_searched = searched_again(folders, monkeypatch)
    assert was_searched == (change in ("added", "removed", "nested"))
    assert paths == sorted((tmp_path / "b").rglob("*.png")) + sorted((tmp_path / "a").rglob("*.png"))
    assert labels == [0] + [1] * (len(paths) - 1)
    assert (passed.counts, passed.examples) == ({OTHER_KIND: 1}, {OTHER_KIND: [".txt"]})
    expected = b"".join(xxhash.xxh3_128_digest(path.read_bytes()) for path in paths)
    assert digest_files(list_class_folders(folders)[0]).digests == expected


def test_a_list_is_not_kept_where_a_folder_changed_a_moment_ago(listing, settled, monkeypatch):
    folders = [path.parent for path in listing[0][1:]]
    monkeypatch.setattr(file_digests, "RECENT_SECONDS", 3600.0)
    digest_files(list_class_folders(folders)[0])
    assert searched_again(folders, monkeypatch)[-1]


def test_a_list_is_not_kept_where_what_a_link_leads_to_decides(tmp_path, write_image, settled, monkeypatch):
    write_image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.png").symlink_to(tmp_path)
    digest_files(list_class_folders([tmp_path / "a"])[0])
    assert searched_again([tmp_path / "a"], monkeypatch)[-1]


def test_folders_named_from_another_place_have_a_list_of_their_own(tmp_path, write_image, settled, monkeypatch):
    write_image(tmp_path / "a" / "1.png")
    monkeypatch.chdir(tmp_path)
    digest_files(list_class_folders([Path("a")])[0])
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    paths, *_ = searched_again([Path("../a")], monkeypatch)
    assert [path.exists() for path in paths] == [True]


def test_a_kept_list_is_not_trusted_where_all_is_to_be_read_again(listing, settled, monkeypatch):
    folders = [path.parent for path in listing[0][1:]]
    digest_files(list_class_folders(folders)[0])
    with recomputed_digests():
        assert searched_again(folders, monkeypatch)[-1]
    assert not searched_again(folders, monkeypatch)[-1]


def test_a_damaged_index_is_made_again_with_one_warning(listing, settled, monkeypatch):
    folders = [path.parent for path in listing[0][1:]]
    digest_files(list_class_folders(folders)[0])
    (path,) = settled.glob(f"digests/*/{LIST_FILE}")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.warns(UserWarning, match=f"is made again: {LIST_FILE} is missing or altered"):
        paths, _, _, was_searched = searched_again(folders, monkeypatch)
    assert was_searched
    assert paths == list(listing[0])
