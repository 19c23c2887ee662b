"""Data set in the Hugging Face layout: a folder of parquet files or of `save_to_disk`, or one on the hub.

Columns: `image` (or `img`), encoded; `label` (or `labels`), a number or a class name; perhaps `soft_label`, a row of
probabilities. A column `tensor`, which `ddbench export-set` writes beside images that 8 bits cannot hold, has the exact
values, and `ddbench.json` says in which space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.exporter import CARD, Card, read_card
from ddbench.images import Whitening
from ddbench.importer import IMPORTERS, ForeignSet, Importer, ImportOptions
from ddbench.importers._carded import renumbered, told_by
from ddbench.importers._class_names import match_classes
from ddbench.importers._encoded import decode_all
from ddbench.inputs.paths import check_regular
from ddbench.inputs.tensors import read_tensors

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "images"), ("label", "labels", "fine_label")
TENSOR, SOFT = "tensor", "soft_label"
FETCHED = ["*.parquet", "*.arrow", "*.json", "*.safetensors"]
LARGEST = 16 * 2**30  # bytes of a set's columns in memory


@IMPORTERS.register("huggingface")
class HuggingFaceImporter(Importer):
    """Parquet or arrow files of one split, named `train` where there are several."""

    takes = ("class_map", "download")

    def read(self, source: Path, options: ImportOptions) -> list[ForeignSet]:
        """Return the one set of a folder."""
        folder = source if source.exists() else _fetch(source, options)
        table, names = _read_table(folder)
        card = read_card(folder)
        if not len(table):
            raise BadInputError(f"{folder} has no rows; name another data set")
        if TENSOR in table.column_names and card is None:
            raise BadInputError(f"{folder} has a column {TENSOR} and no {CARD} that says its space; copy that too")
        images, space = _images_of(table, card, options, folder)
        labels, facts, notes = _labels_of(table, names, options)
        whitening = _whitening_in(folder) if space == "zca" else None
        return [told_by(card, ForeignSet(images, labels, space, whitening=whitening, notes=notes, facts=facts))]

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Return whether it is a folder with parquet files, or what `save_to_disk` writes."""
        return source.is_dir() and bool(_files_of(source))


def _files_of(folder: Path) -> list[Path]:
    """Return the parquet or arrow files of a folder, sorted; what `datasets` keeps of computed columns is left out."""
    found = sorted(path for kind in ("parquet", "arrow") for path in folder.rglob(f"*.{kind}"))
    return [path for path in found if not path.name.startswith("cache-")]


def _of_one_split(folder: Path) -> list[Path]:
    """Return the files of `train`, or of the only split.

    Raises:
        BadInputError: several splits, and none of this name.
    """
    splits: dict[str, list[Path]] = {}
    for path in _files_of(folder):
        inner = path.relative_to(folder)
        of_name = path.stem.partition("-")[0] if "-of-" in path.name else path.stem
        splits.setdefault(inner.parent.as_posix() if path.suffix == ".arrow" else of_name, []).append(path)
    if len(splits) > 1 and "train" not in splits:
        raise BadInputError(f"{folder} has the splits {', '.join(sorted(splits))}; name the file of the one meant")
    return splits["train"] if "train" in splits else next(iter(splits.values()), [])


def _read_table(folder: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """Return all rows of a folder's files, and the class names that they carry, empty where they carry none.

    Raises:
        BadInputError: no files, damaged ones, or several splits of which none is `train`.
    """
    paths = _of_one_split(folder) if folder.is_dir() else [folder]
    if not paths:
        raise BadInputError(f"{folder} has no .parquet or .arrow files; name the folder of a data set")
    tables = []
    for path in paths:
        check_regular(path, "data set file")
        try:
            if path.suffix == ".arrow":
                with pa.memory_map(str(path)) as file:
                    tables.append(pa.ipc.open_stream(file).read_all())
                    tables[-1].validate(full=True)
            else:
                about = pq.read_metadata(path)
                if sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups)) > LARGEST:
                    raise BadInputError(f"{path} unpacks to more than a distilled set has; name the file of one")
                tables.append(pq.read_table(path))
        except BadInputError:
            raise
        except Exception as error:  # pyarrow's errors are of many kinds
            raise BadInputError(f"{path} is damaged or no data set file; copy or download it again") from error
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise BadInputError(f"the files of {folder} have different columns; name the file of one set") from error
    return table, _class_names(table.schema.metadata or {})


def _class_names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        named = [features[column]["names"] for column in LABEL_COLUMNS if "names" in features.get(column, {})]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ()
    return tuple(map(str, named[0])) if named and isinstance(named[0], list) else ()


def _column(table: pa.Table, names: Sequence[str], what: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    for name in names:
        if name in table.column_names:
            return table.column(name).combine_chunks()
    raise BadInputError(f"the data set has no column of {what}: it has {', '.join(table.column_names)}; rename one")


def _images_of(table: pa.Table, card: Card | None, options: ImportOptions, folder: Path) -> tuple[Tensor, Any]:
    if TENSOR in table.column_names and card is not None:
        return _numbers(table.column(TENSOR), TENSOR), card.space
    rows = _column(table, IMAGE_COLUMNS, "images").to_pylist()
    contents = [row.get("bytes") if isinstance(row, dict) else row for row in rows]
    encoded = [content for content in contents if isinstance(content, bytes)]
    if len(encoded) < len(contents):
        raise BadInputError(f"{folder} names image files and does not hold them; save it with its images embedded")
    names = [f"in row {row} of {folder}" for row in range(len(encoded))]
    return decode_all(encoded, names, options.info.channels), "pixels"


def _labels_of(
    table: pa.Table, names: tuple[str, ...], options: ImportOptions
) -> tuple[Tensor, dict[str, Any], tuple[str, ...]]:
    if SOFT in table.column_names:
        rows, note = _numbers(table.column(SOFT), SOFT), "labels are those of the column soft_label"
        if not names:
            return rows, {}, (f"{note}, in the data set's order: the files name no classes",)
        matched = match_classes(names, options.info, options.class_map)
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise BadInputError(f"column {SOFT} must have {len(names)} numbers a row, one a class; correct it")
        order = torch.tensor([matched.labels[name] for name in names])
        return renumbered(rows, order), matched.facts(options.info), (note, f"classes by {matched.how}")
    given = _column(table, LABEL_COLUMNS, "labels").to_pylist()
    if any(not isinstance(label, int | str) or isinstance(label, bool) for label in given):
        raise BadInputError("labels of a data set must be numbers or class names, one a row; fill or rename the column")
    if any(isinstance(label, int) for label in given) and not names:
        note = "labels are taken as they are: the files name no classes"
        if any(not 0 <= int(label) < options.info.num_classes for label in given):
            raise BadInputError(f"labels must lie in 0..{options.info.num_classes - 1}; name the data set of the files")
        return torch.tensor([int(label) for label in given]), {}, (note,)
    if any(isinstance(label, int) and not 0 <= label < len(names) for label in given):
        raise BadInputError(f"a label is not below {len(names)}, the number of class names in the files; correct it")
    texts = [names[label] if isinstance(label, int) else label for label in given]
    matched = match_classes(names or sorted(set(texts)), options.info, options.class_map)
    labels = torch.tensor([matched.labels[text] for text in texts])
    return labels, matched.facts(options.info), (f"classes by {matched.how}",)


def _numbers(column: Any, name: str) -> Tensor:  # noqa: ANN401 - pyarrow has no types
    """Return a column of nested lists of one shape as a float32 tensor.

    Raises:
        BadInputError: rows of several shapes, or something else than numbers.
    """
    try:
        return torch.from_numpy(np.asarray(column.to_pylist(), dtype=np.float32)).contiguous()
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"column {name} must hold numbers, as many in every row; export it again") from error


def _whitening_in(folder: Path) -> Whitening | None:
    path = folder / "whitening.safetensors"
    if not path.is_file():
        return None
    tensors = read_tensors(path, "whitening")[0]
    if not {"mean", "matrix"} <= tensors.keys():
        raise BadInputError(f"{path} holds no mean and matrix; export the set again, or remove the file")
    return Whitening(tensors["mean"], tensors["matrix"])


def _fetch(source: Path, options: ImportOptions) -> Path:
    """Return the folder of a data set of the hub, fetched where the user has asked for it."""
    name = source.as_posix()
    if not options.download or name.count("/") != 1:
        raise BadInputError(f"{source} does not exist; OWNER/NAME on the hub is fetched only with --download")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=FETCHED))
    except Exception as error:  # the hub's and the network's are of many kinds
        reason = " ".join(str(error).split())[:160]
        raise BadInputError(f"cannot fetch {name} from the hub: {reason}; check the name and the network") from error
