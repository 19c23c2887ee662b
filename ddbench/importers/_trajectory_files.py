"""What MTT and the methods built on its program leave: `images_X.pt`, `labels_X.pt` and a learned rate beside them.

Format: GeorgeCazenavette/mtt-distillation, `distill.py`; X is a number of iterations or `best`, which that program
chooses by test accuracy. `images_zca_X.pt` are the same images with the whitening undone, written where it was used.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.importers._saved_tensors import as_rate, as_tensor, read_saved
from ddbench.records import Space

IMAGES = re.compile(r"images_(?P<at>best|\d+)\.pt")
UNWHITENED = re.compile(r"images_zca_(best|\d+)\.pt")
RATES = ("lr_{}.pt", "syn_lr_{}.pt", "synlr_{}.pt")
BEST_NOTE = "images_best is what its program chose by test accuracy; images_N of a fixed iteration are not chosen so"


def find_images(source: Path) -> Path:
    """Return the file of images in a folder, or the one that was named: `best`, else the last iteration.

    Raises:
        BadInputError: none there, or the file of unwhitened images.
    """
    if UNWHITENED.fullmatch(source.name):
        raise BadInputError(
            f"{source} holds images with their whitening undone, which students of MTT are not trained on; name "
            f"{source.name.replace('zca_', '')}"
        )
    if not source.is_dir():
        return source
    found = {name["at"]: path for path in source.iterdir() if (name := IMAGES.fullmatch(path.name))}
    if not found:
        raise BadInputError(f"{source} has no images_best.pt or images_N.pt; name the file of images")
    return found["best"] if "best" in found else found[max(found, key=int)]


def read_trajectory_files(source: Path) -> tuple[Tensor, Tensor, float | None, Space | None, tuple[str, ...]]:
    """Return images, labels, the learned rate, the space and notes.

    The rate is None without one beside them; the space is "zca" where it is sure, else None.

    Raises:
        BadInputError: files that are not there, or hold something else.
    """
    path = find_images(source)
    name = IMAGES.fullmatch(path.name)
    at = name["at"] if name else ""
    labels_path = path.with_name(path.name.replace("images", "labels", 1))
    if labels_path == path or not labels_path.is_file():
        raise BadInputError(f"{path} has no labels beside it, {labels_path.name}; copy them there too")
    images = as_tensor(read_saved(path, "images"), f"images in {path}")
    labels = as_tensor(read_saved(labels_path, "labels"), f"labels in {labels_path}")
    rate_path = next((p for form in RATES if (p := path.with_name(form.format(at))).is_file()), None)
    rate = None if rate_path is None else as_rate(read_saved(rate_path, "learning rate"), f"the rate in {rate_path}")
    is_whitened = path.with_name(path.name.replace("images", "images_zca", 1)).is_file()
    space: Space | None = "zca" if is_whitened else None
    notes = [f"read {path.name}, {labels_path.name}" + (f" and {rate_path.name}" if rate_path else "")]
    if rate is None:
        notes.append("no learned rate beside them: students use the protocol's, or that of --student-lr")
    if at == "best":
        notes.append(BEST_NOTE)
    return images, labels, rate, space, tuple(notes)
