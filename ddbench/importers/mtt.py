"""Folder written by MTT's program: `images_best.pt`, `labels_best.pt` and the learned rate, whitened or normalised.

Format: GeorgeCazenavette/mtt-distillation, `distill.py`. The files do not say whether they are whitened, unless
`images_zca_best.pt` lies beside them, which is written with --zca alone.
"""

from __future__ import annotations

from pathlib import Path

from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._trajectory_files import IMAGES, read_trajectory_files


@IMPORTERS.register("mtt")
class MTTImporter(Importer):
    """The files that MTT's program writes, hard labels."""

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a folder, or that of the file of images that is named."""
        images, labels, rate, space, notes = read_trajectory_files(source)
        return [ForeignSet(images, labels, space, student_lr=rate, method="mtt", notes=notes)]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether it is a folder with such files, or one of them."""
        return IMAGES.fullmatch(source.name) is not None or any(source.glob("images_best.pt"))
