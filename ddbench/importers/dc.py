"""`res_METHOD_DATASET_NETWORK_IPCipc.pt` of DC, DSA and DM: every set in the file, normalised like the data set.

Format: VICO-UoE/DatasetCondensation, `main.py` and `main_DM.py`: {"data": [[images, labels], ...], "accs_all_exps"}, a
pair an experiment, of images as they were trained on: normalised.
"""

from __future__ import annotations

import re
from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._saved_tensors import as_tensor, read_saved

NAME = re.compile(r"res_(?P<method>[^_]+)_.+\.pt")


@IMPORTERS.register("dc")
class DCImporter(Importer):
    """A file that the authors' programs of DC, DSA and DM write."""

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the set of each experiment; the first is seed 0."""
        content = read_saved(source, "distilled sets")
        pairs = content.get("data") if isinstance(content, dict) else None
        if not isinstance(pairs, list | tuple) or not pairs:
            raise BadInputError(
                f"{source} is not a file of DC, DSA or DM: it has no list 'data' of sets; import a plain file of "
                "images and labels --as tensors"
            )
        if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
            raise BadInputError(f"{source}: each entry of 'data' must be a pair of images and labels; import another")
        found = NAME.fullmatch(source.name)
        method = found["method"].lower() if found else ""
        return [
            ForeignSet(
                as_tensor(images, f"images of set {index} in {source}"),
                as_tensor(labels, f"labels of set {index} in {source}"),
                space="normalised",
                method=method,
                seed=index,
            )
            for index, (images, labels) in enumerate(pairs)
        ]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether the name is one that those programs give."""
        return NAME.fullmatch(source.name) is not None
