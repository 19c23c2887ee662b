"""The validation images of ILSVRC 2012 as they come: in one folder, with their classes in a file of labels beside it.

Facts of the devkit (ILSVRC2012_devkit_t12, readme.txt): line i of `ILSVRC2012_validation_ground_truth.txt` is the
ILSVRC2012_ID, 1 to 1000, of image i; `meta.mat` says which WordNet id each stands for, in an order of its own. Lists of
synsets that others have made are sorted by WordNet id, which is another order: they are not taken in its place.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.image_files.class_folders import Listing, PassedOver, list_class_folders
from ddbench.inputs.documents import read_bytes, read_text

GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
MOST_META_BYTES = 16 * 2**20  # the devkit's has 1 MB
_NUMBERED = re.compile(r"ILSVRC2012_val_([0-9]{8})")
_WNID = re.compile(r"n[0-9]{8}")

# WordNet ids by the name of the image without its suffix.
Labels = Mapping[str, str]


def list_flat_validation(root: Path, wnids: Sequence[str], passed: PassedOver) -> Listing:
    """Return the images of some classes, class by class and sorted by name in each, and their labels (N,) int64.

    Args:
        root: folder with `val` and a file of labels, which may also lie in `val` or in the devkit's own folder.
        wnids: WordNet ids in label order.
        passed: counts what is left out.

    Raises:
        DataMissingError: there are no labels; the message says what to put where.
        DataMismatchError: labels that cannot be read, or that are not those of the images.
    """
    files, _ = list_class_folders([root / "val"], passed)
    path, read = _find_labels(root)
    stems = [file.stem for file in files]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataMismatchError(f"{root / 'val'} has {twice[0]} in several files; keep one of each image")
    try:
        labels = read(path, stems)
    except BadInputError as error:
        raise DataMismatchError(f"{error}; copy it again") from error
    for problem, names in (
        ("has no class for", [stem for stem in stems if stem not in labels]),
        ("names images that are not there,", sorted(labels.keys() - set(stems))),
    ):
        if names:
            raise DataMismatchError(
                f"{path} {problem} {len(names)} of {len(stems)} images in {root / 'val'}, such as {names[0]}; "
                "copy both again"
            )
    members: dict[str, list[Path]] = {wnid: [] for wnid in wnids}
    for file, stem in zip(files, stems, strict=True):
        if labels[stem] in members:
            members[labels[stem]].append(file)
    counts = torch.tensor([len(found) for found in members.values()])
    return [file for found in members.values() for file in found], torch.arange(len(wnids)).repeat_interleave(counts)


def _find_labels(root: Path) -> tuple[Path, Callable[[Path, Sequence[str]], Labels]]:
    for folder in (root, root / "val", root / "ILSVRC2012_devkit_t12" / "data", root / "data"):
        for name, read in READERS.items():
            if (folder / name).is_file():
                return folder / name, read
    raise DataMissingError(
        f"{root / 'val'} has no class folders, and no file says what its images are; put {GROUND_TRUTH} and {META} of "
        "the devkit, or LOC_val_solution.csv, beside it"
    )


def _read_solution(path: Path, stems: Sequence[str]) -> Labels:
    """Read Kaggle's list: a line of names, then image and its class with boxes, `ILSVRC2012_val_1,n03995372 85 1`."""
    rows = (line.split(",", 1) for line in read_text(path, "file of labels").splitlines()[1:] if line)
    return _checked(path, _once(path, ((row[0], row[-1].partition(" ")[0]) for row in rows)))


def _read_annotations(path: Path, stems: Sequence[str]) -> Labels:
    """Read lines of file name and WordNet id, with tabs between."""
    rows = (line.split("\t") for line in read_text(path, "file of labels").splitlines() if line)
    return _checked(path, _once(path, ((Path(row[0]).stem, row[1] if len(row) > 1 else "") for row in rows)))


def _read_synset_labels(path: Path, stems: Sequence[str]) -> Labels:
    """Read TensorFlow's list: a WordNet id for each image, in the order of their numbers."""
    return _checked(path, _by_number(path, read_text(path, "file of labels").split(), stems))


def _read_ground_truth(path: Path, stems: Sequence[str]) -> Labels:
    """Read the devkit's list of numbers."""
    meta = next((found for found in (path.with_name(META), path.parents[1] / META) if found.is_file()), None)
    if meta is None:
        raise DataMissingError(
            f"{path} numbers the classes, and {path.with_name(META)}, which says what they are, is missing"
        )
    known = read_synsets(meta)
    numbers = read_text(path, "file of labels").split()
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise DataMismatchError(f"{path} has the class {unknown[0]!r}, which {meta} does not; copy both again")
    return _by_number(path, [known[number] for number in numbers], stems)


def read_synsets(path: Path) -> dict[str, str]:
    """Return the WordNet id of each ILSVRC2012_ID, as text, from the devkit's `meta.mat`.

    Raises:
        BadInputError: it cannot be read.
        DataMismatchError: it is no such file.
    """
    from scipy.io import loadmat  # which reads arrays and runs nothing

    content = read_bytes(path, "file of synsets", MOST_META_BYTES)
    try:
        rows = loadmat(cast(Any, io.BytesIO(content)), squeeze_me=True, variable_names=["synsets"])["synsets"]
        found = {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows if int(row["num_children"]) == 0}
    except Exception as error:  # its reader raises errors of every kind at damaged files
        raise DataMismatchError(f"{path} should be the devkit's list of synsets and is not; copy it again") from error
    return dict(_checked(path, found))


def _by_number(path: Path, wnids: Sequence[str], stems: Sequence[str]) -> dict[str, str]:
    """Return labels that stand in the order of the images' numbers, 1 to as many as there are."""
    if len(wnids) != len(stems):
        raise DataMismatchError(f"{path} has {len(wnids)} labels, and its images are {len(stems)}; copy both again")
    other = [stem for stem in stems if _NUMBERED.fullmatch(stem) is None]
    if other:
        raise DataMismatchError(
            f"{path} labels images by number, ILSVRC2012_val_00000001 and so on, found {other[0]}; rename it, or put "
            "a file of labels by name there"
        )
    return {f"ILSVRC2012_val_{number:08d}": wnid for number, wnid in enumerate(wnids, 1)}


def _once(path: Path, rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return labels by image; raises DataMismatchError where a file gives an image two."""
    labels: dict[str, str] = {}
    for name, wnid in rows:
        if labels.setdefault(name, wnid) != wnid:
            raise DataMismatchError(f"{path} says that {name} is {labels[name]} and {wnid}; copy it again")
    return labels


def _checked(path: Path, labels: Labels) -> Labels:
    wrong = [name for name, wnid in labels.items() if _WNID.fullmatch(wnid) is None]
    if wrong:
        raise DataMismatchError(
            f"{path} should give a WordNet id such as n01440764 for {wrong[0]}, found {labels[wrong[0]]!r}; "
            "copy it again"
        )
    return labels


READERS: dict[str, Callable[[Path, Sequence[str]], Labels]] = {
    "LOC_val_solution.csv": _read_solution,
    GROUND_TRUTH: _read_ground_truth,
    "imagenet_2012_validation_synset_labels.txt": _read_synset_labels,
    "val_annotations.txt": _read_annotations,
}
