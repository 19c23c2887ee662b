"""`data.pt` of IDC: images in 0..1, which may each hold factor x factor smaller ones, and their labels.

Format: snu-mllab/Efficient-Dataset-Condensation, `condense.py` and `test.py`: a pair [images, labels]. The factor is in
no file; the folders that the program makes have it in their names.
"""

from __future__ import annotations

import re
from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._saved_tensors import as_tensor, read_saved

FILE = "data.pt"
FACTOR = re.compile(r"(?<![a-z])factor(\d+)(?!\d)")


@IMPORTERS.register("idc")
class IDCImporter(Importer):
    """The file that IDC's program writes."""

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a file, or of the folder that holds it."""
        path = source / FILE if source.is_dir() else source
        content = read_saved(path, "distilled set")
        if not isinstance(content, list | tuple) or len(content) != 2:
            raise BadInputError(
                f"{path} is not a file of IDC: it must be a pair of images and labels; import it --as dc"
            )
        named = FACTOR.search(path.absolute().parent.name)
        factor = options.factor or (int(named[1]) if named else None)
        if factor is None:
            raise BadInputError(
                f"{path} does not say how many smaller images a side of each holds; give --factor: 2 or 3 as in the "
                "paper's IDC, 1 for IDC-I, whose images are whole"
            )
        origin = "as told" if options.factor else "from the folder's name"
        images, labels = (as_tensor(part, f"entry {index} of {path}") for index, part in enumerate(content))
        note = f"factor {factor}, {origin}: each stored image holds {factor * factor}"
        return [ForeignSet(images, labels, "pixels", method="idc", decode_factor=factor, notes=(note,))]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether it is that file, or a folder with it."""
        return source.name == FILE or (source / FILE).is_file()
