"""Folder written by DATM's program: MTT's files with learned soft labels, saved as logits.

Format: NUS-HPC-AI-Lab/DATM, `distill/DATM.py`; arXiv 2310.05773. Its loss takes the softmax of the labels, so here
they are turned into probabilities. Whether the images are whitened is not said, as for `mtt`.
"""

from __future__ import annotations

from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._trajectory_files import read_trajectory_files


@IMPORTERS.register("datm")
class DATMImporter(Importer):
    """The files that DATM's program writes, label logits."""

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a folder, or that of the file of images that is named."""
        images, labels, rate, space, notes = read_trajectory_files(source)
        if labels.ndim != 2 or not labels.is_floating_point():
            raise BadInputError(
                f"{source}: DATM's labels must be logits (M, K), got {tuple(labels.shape)} {labels.dtype}; import hard "
                "labels --as mtt"
            )
        return [ForeignSet(images, labels, space, logits=True, student_lr=rate, method="datm", notes=notes)]
