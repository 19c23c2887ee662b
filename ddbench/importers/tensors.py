"""A `.pt`, `.npz` or `.safetensors` file with `images`, `labels` and optionally a learning rate `lr`.

A `.pt` file may also hold a list of images, labels and a rate in that order. A folder that `ddbench export-set` wrote
says the rest in its `ddbench.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.exporter import read_card
from ddbench.images import Whitening
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._carded import labels_by_card, told_by
from ddbench.importers._saved_tensors import as_rate, as_tensor, read_arrays, read_saved
from ddbench.inputs.tensors import read_tensors

NAMES = {  # by what stands in the file, the first that is there
    "images": ("images", "image", "image_syn", "syn_images", "image_tensor", "data", "x"),
    "labels": ("labels", "label", "label_syn", "soft_labels", "targets", "target", "y"),
    "lr": ("lr", "syn_lr", "student_lr"),
    "whitening_mean": ("whitening_mean",),
    "whitening_matrix": ("whitening_matrix",),
}
LISTED = ("images", "labels", "lr")
FILE = "set.safetensors"  # in the folder of an export
SUFFIXES = (".pt", ".pth", ".npz", ".safetensors")


@IMPORTERS.register("tensors")
class TensorsImporter(Importer):
    """A file of plain tensors."""

    takes = ("class_map",)

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a file, or of the folder of an export."""
        card = read_card(source if source.is_dir() else source.parent)
        source = source / FILE if source.is_dir() else source
        named, notes = _read(source)
        missing = [what for what in ("images", "labels") if what not in named]
        if missing:
            raise BadInputError(
                f"{source} has no {' and no '.join(missing)}; save both: torch.save({{'images': images, 'labels': "
                "labels}, FILE)"
            )
        rate = as_rate(named["lr"], f"lr in {source}") if "lr" in named else None
        images, labels = (as_tensor(named[what], f"{what} in {source}") for what in ("images", "labels"))
        if card is None:
            return [ForeignSet(images, labels, student_lr=rate, notes=notes)]
        whitening = None
        if card.space == "zca" and {"whitening_mean", "whitening_matrix"} <= named.keys():
            whitening = Whitening(named["whitening_mean"], named["whitening_matrix"])
        labels, facts, by_card = labels_by_card(card, labels, options)
        notes = (*notes, *by_card)
        found = ForeignSet(images, labels, card.space, student_lr=rate, whitening=whitening, notes=notes, facts=facts)
        return [told_by(card, found)]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether the file's suffix is one of those that are read."""
        return (source.suffix in SUFFIXES and source.is_file()) or (source / FILE).is_file()


def _read(source: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what a file holds, by our names, and a note where it had others."""
    content: Mapping[Any, Any]
    if source.suffix == ".safetensors":
        content = read_tensors(source, "distilled set")[0]
    elif source.suffix == ".npz":
        content = read_arrays(source, "distilled set")
    else:
        saved = read_saved(source, "distilled set")
        if isinstance(saved, Tensor):
            raise BadInputError(f"{source} is a single tensor; save images and labels in one file, by these names")
        is_listed = isinstance(saved, list | tuple) and 2 <= len(saved) <= len(LISTED)
        content = dict(zip(LISTED, saved, strict=False)) if is_listed else saved
    if not isinstance(content, Mapping):
        raise BadInputError(f"{source} holds {type(content).__name__}; save a dictionary of images and labels")
    found = {what: next((name for name in names if name in content), None) for what, names in NAMES.items()}
    taken = {what: name for what, name in found.items() if name is not None}
    others = [f"{what} is {name!r}" for what, name in taken.items() if name != what]
    return {what: content[name] for what, name in taken.items()}, ((f"read: {', '.join(others)}",) if others else ())
