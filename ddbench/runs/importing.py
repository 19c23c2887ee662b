"""Sets that other programs wrote, brought in: what the files say, what the user says, and checks of both.

A wrong guess at the space would be a wrong number, so it is asked for where a format does not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ddbench.augment.zca import fit_zca
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import check_target, save_distilled, write_distilled
from ddbench.distilled.names import SIDECAR
from ddbench.errors import BadInputError, DDBenchError
from ddbench.host.files import make_folder, sha256_of, staged_folder
from ddbench.host.machine import resolve_device
from ddbench.images import RealDataset, Whitening
from ddbench.importer import IMPORTERS, ForeignSet, ImportOptions
from ddbench.inputs.distilled_sets import LARGEST_FACTOR
from ddbench.inputs.documents import read_json
from ddbench.inputs.paths import as_path
from ddbench.inputs.pixel_margin import UNBOUNDED
from ddbench.inputs.values import as_count, as_positive, shown
from ddbench.inputs.yaml import read_yaml
from ddbench.registry import METHODS
from ddbench.runs.distill import RunOptions, check_dataset, load_real, with_device
from ddbench.runs.foreign_values import SUFFIX, SourceFacts, budget_of, images_of, labels_of
from ddbench.runs.set_checks import check_fits, check_values

LONGEST_NAME = 100  # letters of a method's name
LARGEST_FILE = 2 * 2**30  # bytes; of larger ones no digest stands in the provenance


@dataclass(frozen=True, eq=False)
class Imported:
    """The sets of a source, the importer's notes, and a digest of what was read, by file name."""

    sets: tuple[DistilledDataset, ...]
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def import_set(
    source: Path | str,
    form: str,
    dataset: RealDataset | str,
    told: SourceFacts | None = None,
    *,
    options: RunOptions | None = None,
) -> Imported:
    """Read every distilled set of a source that another program wrote.

    Args:
        source: file or folder; nothing in it is run.
        form: name of its format (`ddbench list importers`).
        dataset: the real data set that the sets stand for, or its name.
        told: what the files do not say.
        options: data folder and device.

    Raises:
        UnknownNameError: no such format or data set.
        BadInputError: a source that is not of the format, something that only the user can say, or impossible values.
        DataMismatchError: sets that do not fit the data set.
    """
    told = SourceFacts() if told is None else told
    importer, path = IMPORTERS.get(form)(), as_path(source, "source")
    check_dataset(dataset)
    options = with_device(options, None)
    if not path.exists() and not told.download:
        raise BadInputError(f"{path} does not exist; check the path")
    real = load_real(dataset, options)
    if told.factor is not None:
        as_count(told.factor, "factor", most=LARGEST_FACTOR)
    class_map = {} if told.class_map is None else _read_class_map(as_path(told.class_map, "class map"))
    for name in ("class_map", "download"):
        if getattr(told, name) and name not in importer.takes:
            raise BadInputError(f"format {form} does not use --{name.replace('_', '-')}; leave it out")
    found = importer.read(path, ImportOptions(real.info, told.factor, class_map, told.download))
    notes = list(dict.fromkeys(note for one in found for note in one.notes))
    files = _digests(path)
    made = []
    for index, foreign in enumerate(found):
        made.append(_as_distilled(foreign, _seed_of(foreign, index, told), form, real, told, files, notes, options))
    return Imported(tuple(made), tuple(dict.fromkeys(notes)), files)


def recognise(source: Path) -> tuple[str, ...]:
    """Return the formats that a source looks like, by its names alone, the most particular first."""
    general = ("tensors", "image-folder")
    names = sorted(IMPORTERS.names(), key=lambda name: name in general)
    try:
        return tuple(name for name in names if IMPORTERS.get(name).recognises(source))
    except OSError:  # a folder that may not be entered
        return ()


def check_import_target(folder: Path, *, overwrite: bool) -> None:
    """Raise BadInputError where imported sets cannot be written to `folder`, before anything is read.

    What lies there is replaced only where it is what an import left and `overwrite` says so.
    """
    if folder.is_symlink():
        raise BadInputError(f"{folder} is a link to {folder.readlink()}, and links are not followed; name a new folder")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        make_folder(folder.parent)
        return
    inside = [folder, *folder.iterdir()] if folder.is_dir() else []
    imports = [place for place in inside if _is_import(place)]
    if folder not in imports and (not imports or len(imports) < len(inside) - 1):
        raise BadInputError(f"{folder} exists and is not an import; name a new folder")
    if not overwrite:
        what = "an imported set" if len(imports) == 1 else f"{len(imports)} imported sets"
        raise BadInputError(f"{folder} holds {what}; name a new folder, or use --overwrite")


def _is_import(folder: Path) -> bool:
    """Return whether a folder is a distilled set that an import left, and nothing else lies in it."""
    try:
        check_target(folder)
        return "imported" in read_json(folder / SIDECAR, "sidecar")["provenance"]
    except (DDBenchError, KeyError, TypeError):
        return False


def save_imported(imported: Imported, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write imported sets, all or none of them, and return their folders: `folder` itself, or `seedN` in it.

    Raises:
        BadInputError: a place that cannot be written to, or where something lies by then, without `overwrite`.
    """
    if len(imported.sets) == 1:
        with staged_folder(folder, replace=overwrite) as staging:  # in place of one set or of several
            write_distilled(imported.sets[0], staging)
        return [folder]
    names = [f"seed{made.provenance['distill_seed']}" for made in imported.sets]
    with staged_folder(folder, replace=overwrite) as staging:
        for name, made in zip(names, imported.sets, strict=True):
            save_distilled(made, staging / name)
    return [folder / name for name in names]


def _as_distilled(
    foreign: ForeignSet,
    seed: int,
    form: str,
    real: RealDataset,
    told: SourceFacts,
    files: Mapping[str, str],
    notes: list[str],
    options: RunOptions,
) -> DistilledDataset:
    images, space = images_of(foreign, real, told, notes)
    labels = labels_of(foreign, real, told)
    if len(labels) != len(images):
        raise BadInputError(f"the source has {len(images)} images and {len(labels)} labels; it must have one for each")
    ipc, uneven = budget_of(labels, real.info.num_classes, notes)
    whitening = _whitening_of(foreign, real, options) if space == "zca" else None
    kept = list(dict.fromkeys((*foreign.notes, *notes)))
    origin = {
        "method": _method_of(foreign, told, form),
        "dataset": real.info.name,
        "dataset_fingerprint": real.info.fingerprint,
        "class_names": list(real.info.class_names),
        "mean": list(real.info.mean),
        "std": list(real.info.std),
        "distill_seed": seed,
        "imported": {"format": form, "files": dict(files), "notes": kept, **foreign.facts},
    }
    margin = foreign.pixel_margin if told.pixel_margin is None else told.pixel_margin
    if margin is not None:
        origin["pixel_margin"] = _margin(margin)
    distilled = DistilledDataset(
        images,
        labels,
        real.info.num_classes,
        ipc,
        space,
        told.student_lr or foreign.student_lr,
        whitening,
        origin,
        uneven=uneven,
        decode_factor=told.factor or foreign.decode_factor,
    )
    check_fits(distilled, real)
    check_values(distilled, real)
    return distilled


def _whitening_of(foreign: ForeignSet, real: RealDataset, options: RunOptions) -> Whitening:
    if foreign.whitening is not None:
        return foreign.whitening
    return fit_zca(real.train, device=resolve_device(options.device))


def _method_of(foreign: ForeignSet, told: SourceFacts, form: str) -> str:
    """Return the name a set goes by: the user's, else the files' own, marked where a method of ddbench has it too."""
    name = told.method or " ".join(foreign.method.split())[:LONGEST_NAME] or form
    return f"{name}-{SUFFIX}" if told.method is None and name in METHODS.names() else name


def _seed_of(foreign: ForeignSet, index: int, told: SourceFacts) -> int:
    if told.seed is not None:
        return told.seed + index
    return index if foreign.seed is None else foreign.seed


def _margin(given: float | str) -> float | str:
    if given == UNBOUNDED:
        return UNBOUNDED
    try:
        return as_positive(float(given), "pixel_margin")
    except ValueError as error:
        raise BadInputError(f"pixel_margin must be a positive number or {UNBOUNDED!r}, got {shown(given)}") from error


def _read_class_map(path: Path) -> dict[str, str]:
    content = read_yaml(path, "class map")
    if not isinstance(content, dict) or not all(isinstance(value, str | int) for value in content.values()):
        raise BadInputError(f"class map {path} must be lines of NAME: CLASS; correct it")
    return {str(name): str(value) for name, value in content.items()}


def _digests(source: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that a source consists of, by name; of a folder of many images none."""
    if not source.exists():
        return {}
    paths = [source] if source.is_file() else sorted(path for path in source.iterdir() if path.is_file())
    return {path.name: sha256_of(path) for path in paths if path.stat().st_size <= LARGEST_FILE}
