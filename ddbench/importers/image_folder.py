"""Class folders of image files, as RDED, SRe2L and diffusion methods write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.exporter import CARD, Card, read_card
from ddbench.image_files.class_folders import PassedOver, class_names_in, list_class_folders
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._carded import told_by
from ddbench.importers._class_names import MatchedClasses, match_classes
from ddbench.importers._encoded import decode_all

LOSSY = (".jpg", ".jpeg")


@IMPORTERS.register("image-folder")
class ImageFolderImporter(Importer):
    """Class folders, found by name; see `match_classes`."""

    takes = ("class_map",)

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a folder, class by class in the data set's order, each sorted by file name."""
        if not source.is_dir():
            raise BadInputError(f"{source} is not a folder; name the one that holds a folder for each class")
        passed = PassedOver()
        names = class_names_in(source, passed, known=(CARD,))
        if not names:
            raise BadInputError(f"{source} holds no folders; name the one that holds a folder for each class")
        card = read_card(source)
        matched = _by_card(names, card, options) or match_classes(names, options.info, options.class_map)
        in_order = sorted(names, key=lambda name: matched.labels[name])
        paths, labels = list_class_folders((source / name for name in in_order), passed)
        passed.warn(source)
        images = decode_all(paths, [str(path) for path in paths], options.info.channels)
        classes = {name: options.info.class_names[matched.labels[name]] for name in in_order}
        notes = [f"classes by {matched.how}: {_shown_map(classes)}"]
        lossy = Counter(path.suffix.lower() in LOSSY for path in paths)[True]
        if lossy:
            notes.append(f"{lossy} of {len(paths)} images are JPEG, which keeps them but roughly")
        found = ForeignSet(images, labels, "pixels", notes=tuple(notes), facts=matched.facts(options.info))
        return [told_by(card, found)]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether it is a folder of folders."""
        return source.is_dir() and any(entry.is_dir() for entry in source.iterdir())


def _by_card(names: Sequence[str], card: Card | None, options: ImportOptions) -> MatchedClasses | None:
    """Return the classes of folders that `export-set` has named `LABEL_NAME`: the label counts, by the card's names."""
    numbers = [name.partition("_")[0] for name in names]
    if card is None or options.class_map or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        return None
    if max(map(int, numbers)) >= len(card.class_names):
        return None
    known = match_classes(card.class_names, options.info, {})
    found = {n: known.labels[card.class_names[int(number)]] for n, number in zip(names, numbers, strict=True)}
    return MatchedClasses(found, "number and class name")


def _shown_map(classes: Mapping[str, str]) -> str:
    pairs = [f"{name} is {known}" for name, known in classes.items()]
    return ", ".join(pairs[:3]) + (f", ... {pairs[-1]}" if len(pairs) > 3 else "")
