"""Pictures of distilled sets for a page: one small image per set, classes by rows, within a limit of sets and bytes.

Torch, which takes seconds to import, is imported where there is a set to draw.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from ddbench.analysis.aggregate import Entry
from ddbench.errors import DDBenchError
from ddbench.records import Result
from ddbench.runs.results_store import DISTILLED_FOLDER, RESULT_FILE
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from ddbench.images import DatasetInfo

CLASSES = 10  # shown per set
MAX_SIDE = 64  # pixels; larger images are made smaller
LOSSLESS_SIDE = 16  # up to here pixels are kept as they are
QUALITY = 80  # of WebP above that
SETS = 120  # pictures in a page
TOTAL_BYTES = 6 * 2**20  # of all pictures in a page, as written into it


class HasEntries(Protocol):
    """A part of a page whose entries may have pictures."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """In the order of the page."""


@dataclass(frozen=True)
class Picture:
    """One distilled set.

    Attributes:
        entry: the entry it belongs to.
        seed: distillation seed.
        uri: the image as a data URI: a row per class, a transparent line between images.
        size: width and height to show it at, in CSS pixels.
        class_names: of the rows.
        note: what is not shown, or shown differently than it is.
        pixelated: whether single pixels should stay visible when enlarged.
    """

    entry: Entry
    seed: int
    uri: str
    size: tuple[int, int]
    class_names: tuple[str, ...]
    note: str
    pixelated: bool


@dataclass(frozen=True)
class Gallery:
    """Pictures by index of their panel, smaller IPC first, and one line for each thing that is not shown."""

    pictures: dict[int, tuple[Picture, ...]]
    notes: tuple[str, ...]


def make_gallery(panels: Sequence[Panel], sources: Iterable[Path], data_dir: Path | None) -> Gallery:
    """Return a picture of the first set of every entry that has one kept under `sources`.

    Panels take turns until the limit of sets or bytes is reached. A set that cannot be shown is a note, not an error.
    """
    return gallery_of(panels, find_sets(sources), Infos(data_dir))


def gallery_of(panels: Sequence[HasEntries], folders: Mapping[str, Path], infos: Infos) -> Gallery:
    """Return the same as `make_gallery` from folders of sets by the key of their cell, for several pages of a site."""
    made: dict[int, dict[int, Picture]] = {}
    notes: list[str] = []
    used = left_out = 0
    for index, position, result, entry in _in_turns(panels, folders):
        if used >= TOTAL_BYTES or sum(map(len, made.values())) >= SETS:
            left_out += 1
            continue
        try:
            picture = _make_picture(entry, result, folders[result.key], infos)
        except DDBenchError as error:
            notes.append(f"Not shown: {entry.name}, seed {result.distill_seed}: {error}")
            continue
        used += len(picture.uri)
        made.setdefault(index, {})[position] = picture
    if left_out:
        limit = f"{SETS} sets or {TOTAL_BYTES // 2**20} MiB"
        notes.insert(0, f"{left_out} more sets are not shown: a page holds pictures of at most {limit}.")
    pictures = {
        index: tuple(sorted((found[position] for position in sorted(found)), key=lambda made: made.entry.ipc or 0))
        for index, found in sorted(made.items())
    }
    return Gallery(pictures, tuple(notes))


def find_cells(sources: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders of cells in results folders, and the single cells among the sources."""
    for source in sources:
        for cell in [source] if (source / RESULT_FILE).is_file() else sorted(source.glob("*/")):
            if not cell.name.startswith("."):
                yield cell


def find_in_cells(sources: Iterable[Path], name: str, is_kept: Callable[[Path], bool]) -> dict[str, Path]:
    """Return what cells keep under a name, by the cell's key; of several cells of a key the first counts."""
    found: dict[str, Path] = {}
    for cell in find_cells(sources):
        if is_kept(cell / name):
            found.setdefault(cell.name, cell / name)
    return found


def find_sets(sources: Iterable[Path]) -> dict[str, Path]:
    """Return the folders of distilled sets in results folders and single cells, by the cell's key."""
    return find_in_cells(sources, DISTILLED_FOLDER, Path.is_dir)


class Infos:
    """Class names, means and spreads of data sets, each read once; None for data that is not on this machine."""

    def __init__(self, data_dir: Path | None) -> None:
        self.data_dir = data_dir
        self.known: dict[str, DatasetInfo | None] = {}

    def get(self, name: str) -> DatasetInfo | None:
        """Return what is known of a data set by its name."""
        if name not in self.known:
            from ddbench.dataset import load_dataset

            try:
                self.known[name] = load_dataset(name, self.data_dir).info
            except DDBenchError:
                self.known[name] = None
        return self.known[name]


def _in_turns(panels: Sequence[HasEntries], folders: Mapping[str, Path]) -> Iterator[tuple[int, int, Result, Entry]]:
    """Yield panel index, position in the panel, result and entry; the panels' first entries come first."""
    columns = []
    for index, panel in enumerate(panels):
        found = [(entry, next((r for r in entry.ok if r.key in folders), None)) for entry in panel.entries]
        columns.append([(index, position, r, entry) for position, (entry, r) in enumerate(found) if r is not None])
    for turn in zip_longest(*columns):
        yield from (found for found in turn if found is not None)


def _make_picture(entry: Entry, result: Result, folder: Path, infos: Infos) -> Picture:
    import torch

    from ddbench.distilled.dataset import DistilledDataset
    from ddbench.distilled.files import load_distilled
    from ddbench.distilled.grid import COLUMNS, display_pixels, stand_in

    distilled = load_distilled(folder)
    info = infos.get(result.dataset)
    notes = []
    if info is None or (info.num_classes, info.channels) != (distilled.num_classes, distilled.images.shape[1]):
        info = stand_in(distilled)
        if distilled.space == "normalised":
            notes.append("colours stretched: the data set is not on this machine")
    classes = distilled.classes
    rows = [(classes == label).nonzero(as_tuple=True)[0][:COLUMNS] for label in range(distilled.num_classes)][:CLASSES]
    chosen = torch.cat(rows)
    # Only what is shown is turned into pixels: a set at IPC 50 of 100 classes is large.
    part = DistilledDataset(
        distilled.images[chosen], classes[chosen], distilled.num_classes, None, distilled.space,
        whitening=distilled.whitening, provenance=distilled.provenance,
    )  # fmt: skip
    tiles = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in display_pixels(part, info)]
    if distilled.num_classes > CLASSES:
        notes.append(f"the first {CLASSES} of {distilled.num_classes} classes")
    if distilled.ipc and distilled.ipc > COLUMNS:
        notes.append(f"the first {COLUMNS} of {distilled.ipc} images per class")
    side = distilled.images.shape[-1]
    if side > MAX_SIDE:
        tiles = [tile.resize((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS) for tile in tiles]
        notes.append(f"reduced from {side} to {MAX_SIDE} px")
    sheet = _arrange(tiles, [len(row) for row in rows])
    scale = max(1, round(32 / tiles[0].width))
    return Picture(
        entry=entry,
        seed=result.distill_seed,
        uri=_encode(sheet, lossless=side <= LOSSLESS_SIDE),
        size=(sheet.width * scale, sheet.height * scale),
        class_names=info.class_names[: len(rows)],
        note="; ".join(notes),
        pixelated=scale > 1,
    )


def _arrange(tiles: Sequence[Image.Image], counts: Sequence[int]) -> Image.Image:
    side = tiles[0].width + 1
    sheet = Image.new("RGBA", (side * max(counts) - 1, side * len(counts) - 1), (0, 0, 0, 0))
    remaining = iter(tiles)
    for row, count in enumerate(counts):
        for column in range(count):
            sheet.paste(next(remaining), (column * side, row * side))
    return sheet


def _encode(sheet: Image.Image, *, lossless: bool) -> str:
    buffer = BytesIO()
    sheet.save(buffer, format="WEBP", lossless=lossless, quality=QUALITY, method=4, exact=False)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
