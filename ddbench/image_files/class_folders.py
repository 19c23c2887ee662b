"""Image files found by class folder; what is passed over is counted and said once, with the reason."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import find_listing, note_files
from ddbench.host.file_list import FileList, Look, Search, look_at_any
from ddbench.inputs.paths import explain_os_error

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")

HIDDEN = "hidden or a system's own"
OTHER_KIND = "of kinds that are not read"
LINKED = "links to folders"
SPECIAL = "no regular files"
LOOSE = "beside the class folders"
# What operating systems and archive programs leave behind, beside names that begin with a dot.
_SYSTEM_NAMES = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin")
_EXAMPLES = 3

Listing = tuple[Sequence[Path], Tensor]


@dataclass
class PassedOver:
    """What a search for images left out: how many by reason, and a few examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, name: str) -> None:
        """Count a file or folder; files of other kinds are shown by their suffix."""
        self.counts[reason] += 1
        shown = (Path(name).suffix or name) if reason == OTHER_KIND else name
        if shown not in self.examples[reason] and len(self.examples[reason]) < _EXAMPLES:
            self.examples[reason].append(shown)

    @property
    def account(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {reason: [count, self.examples[reason]] for reason, count in self.counts.items()}

    def add_all(self, account: Mapping[str, Any]) -> None:
        """Add what another search left out, by its `account`."""
        for reason, (count, examples) in account.items():
            self.counts[reason] += count
            new = [name for name in examples if name not in self.examples[reason]]
            self.examples[reason] = (self.examples[reason] + new)[:_EXAMPLES]

    def warn(self, root: Path) -> None:
        """Say in one line what was left out below `root`, where anything was."""
        found = [f"{count} {reason} ({', '.join(self.examples[reason])})" for reason, count in self.counts.items()]
        if found:
            warnings.warn(f"{root}: skipped {'; '.join(found)}", stacklevel=4)


def list_images(folder: Path, passed: PassedOver | None = None) -> list[Path]:
    """Return the image files under `folder`, at any depth, sorted by path.

    Hidden files and folders, those of operating systems, links to folders and files of other kinds are left out.

    Args:
        folder: where to look.
        passed: counts what is left out.

    Raises:
        DataMismatchError: a folder that cannot be read.
    """
    found = _search([folder])
    if passed is not None and found.search is not None:
        passed.add_all(found.search.account)
    return list(found)


def list_class_folders(folders: Iterable[Path], passed: PassedOver | None = None) -> Listing:
    """Return the image files of one folder per class, in label order, and their labels (N,) int64.

    A list that an earlier search has found is taken from the cache while all folders look as they did; it is kept there
    when the files are digested.

    Raises:
        DataMismatchError: a class without images, or a folder that cannot be read.
    """
    asked = list(folders)
    files = find_listing(asked) or _search(asked, may_be_empty=False)
    counts = np.empty(0, dtype=np.int64)
    if files.search is not None:
        counts = files.search.counts
        if passed is not None:
            passed.add_all(files.search.account)
    return files, torch.arange(len(asked)).repeat_interleave(torch.from_numpy(counts))


def class_names_in(folder: Path, passed: PassedOver | None = None, known: Collection[str] = ()) -> list[str]:
    """Return the names of a folder's class folders in label order: as numbers where all are, else as text.

    Args:
        folder: where to look.
        passed: counts what is left out.
        known: names of files that belong there and are not counted.

    Raises:
        DataMismatchError: a folder that cannot be read, a name that is no text, or two that lead to one folder.
    """
    passed = PassedOver() if passed is None else passed
    names = []
    for entry in _scan(folder):
        if entry.name in known:
            continue
        if is_hidden(entry.name):
            passed.add(HIDDEN, entry.name)
        elif _is_folder(entry):
            names.append(entry.name)
        else:
            passed.add(LOOSE if _is_image(entry.name) else OTHER_KIND, entry.name)
    _check_class_folders(folder, names)
    return sorted(names, key=_as_number) if all(map(_is_number, names)) else sorted(names)


def same_but_for_spelling(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that differ in upper and lower case or in Unicode form alone."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())].add(name)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or one that an operating system keeps for itself."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def _check_class_folders(folder: Path, names: Iterable[str]) -> None:
    """Raise DataMismatchError where a name is no text, or where links make images belong to two classes, or to all."""
    root = folder.resolve()
    all_of_it, reached, above = {root, *root.parents}, dict[Path, str](), dict[Path, str]()
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataMismatchError(f"the folder {name!r} in {folder} has a name that is not text in UTF-8; rename it")
        place = (folder / name).resolve()
        if place in all_of_it:
            raise DataMismatchError(f"{folder / name} is a link to all classes; give each class its own folder")
        other = next((reached[at] for at in (place, *place.parents) if at in reached), above.get(place))
        if other is not None:
            raise DataMismatchError(f"{folder / name} shares images with the class {other!r}: one is a link; remove it")
        reached[place] = name
        above.update(dict.fromkeys(place.parents, name))


@dataclass
class _Searched:
    """What a search has looked into, and left out."""

    looks: dict[str, Look] = field(default_factory=dict)
    passed: PassedOver = field(default_factory=PassedOver)


def _search(folders: Sequence[Path], *, may_be_empty: bool = True) -> FileList:
    """Return the images in folders, at any depth, each folder's sorted by path."""
    searched, counts = _Searched(), np.zeros(len(folders), dtype=np.int64)

    def found() -> Iterator[tuple[str, str]]:
        for place, folder in enumerate(folders):
            for image in _find_images(str(folder), searched):
                counts[place] += 1
                yield image
            if not counts[place] and not may_be_empty:
                kinds = ", ".join(SUFFIXES)
                raise DataMismatchError(f"folder {folder} holds no image ({kinds}); add some or remove it")

    files = FileList.of_names(found())
    files.search = Search(
        asked=tuple(map(str, folders)),
        counts=counts,
        folders=tuple(searched.looks),
        looks=np.array([*searched.looks.values()], dtype=np.int64).reshape(-1, 4),
        account=searched.passed.account,
        is_certain=not {LINKED, SPECIAL} & searched.passed.counts.keys(),
    )
    return files


def _find_images(folder: str, searched: _Searched) -> Iterator[tuple[str, str]]:
    """Yield folder and name of each image; in the order of names, which makes it that of paths."""
    passed = searched.passed
    with suppress(OSError):  # which is told below
        searched.looks[folder] = look_at_any(folder)
    for entry in _scan(Path(folder)):
        is_link_to_folder = entry.is_symlink() and _is_folder(entry)
        if is_hidden(entry.name):
            passed.add(HIDDEN, entry.name)
        elif is_link_to_folder:
            passed.add(LINKED, entry.name)
        elif _is_folder(entry):
            yield from _find_images(entry.path, searched)
        elif not _is_image(entry.name):
            passed.add(OTHER_KIND, entry.name)
        elif entry.is_symlink() or entry.is_file():  # a link that leads nowhere is told when it is looked at
            yield folder, entry.name
        else:
            passed.add(SPECIAL, entry.name)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    note_files(folder)
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataMismatchError(f"the folder {folder} {explain_os_error(error)}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself, or where nobody may look
        return False


def _is_image(name: str) -> bool:
    stem, dot, suffix = name.rpartition(".")  # a Path for each of a million names would cost more than reading them
    return bool(stem and dot) and f".{suffix.lower()}" in SUFFIXES


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 20  # Python itself reads no number of thousands of digits


def _as_number(name: str) -> tuple[int, str]:
    return int(name), name
