"""A distilled set written in a form that another program reads, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import content_digest
from ddbench.distilled.pixels import as_bytes, as_pixels
from ddbench.errors import BadInputError, DDBenchError
from ddbench.exporter import CARD, EXPORTERS, ExportPlan, read_card, write_card
from ddbench.host.files import make_folder, staged_folder
from ddbench.images import RealDataset
from ddbench.inputs.paths import as_path
from ddbench.records import SET_DIGEST, Result
from ddbench.runs.distill import RunOptions, check_dataset, load_real, with_device
from ddbench.runs.set_checks import check_fits, check_values


def export_set(
    distilled: DistilledDataset,
    form: str,
    out: Path | str,
    dataset: RealDataset | str | None = None,
    *,
    results: Iterable[Result] = (),
    licence: str = "unknown",
    overwrite: bool = False,
    options: RunOptions | None = None,
) -> Mapping[str, Any]:
    """Write a distilled set for another program.

    Args:
        distilled: the set.
        form: name of the form (`ddbench list exporters`).
        out: new folder.
        dataset: the real data set that the set stands for, or its name; the one it was made from where None.
        results: of which those of this very set state its accuracy, where the form has a place for it.
        licence: of the set, as the Hugging Face hub names it.
        overwrite: replace what an export left there.
        options: data folder.

    Returns:
        What the form could not hold, empty where the set comes back as it was.

    Raises:
        UnknownNameError: no such form or data set.
        UnsupportedError: the form cannot hold this set.
        BadInputError: a place that cannot be written to, a whole real set, or one that does not say what it stands for.
        DataMismatchError: the set is not one of this data set.
    """
    exporter, target = EXPORTERS.get(form)(), as_path(out, "folder of an export")
    check_export_target(target, overwrite=overwrite)
    if distilled.ipc is None:
        raise BadInputError("this set is the whole training set, not a distilled set; export another")
    name = dataset if dataset is not None else distilled.provenance.get("dataset")
    if name is None:
        raise BadInputError("the set does not say which data set it was made from; name it with --dataset")
    check_dataset(name)
    real = load_real(name, with_device(options, None))
    check_fits(distilled, real)
    check_values(distilled, real)
    exact = as_pixels(distilled, real.info)
    plan = ExportPlan(distilled, real.info, exact, as_bytes(exact), _accuracies(distilled, results), licence)
    with staged_folder(target, replace=overwrite) as staging:
        lost = exporter.write(plan, staging)
        files = tuple(sorted(path.name for path in staging.iterdir()))
        write_card(plan.card(lost).model_copy(update={"files": files, **exporter.describe(plan)}), staging)
    return lost


def check_export_target(folder: Path, *, overwrite: bool) -> None:
    """Raise BadInputError where an export cannot be written to `folder`: before anything is read."""
    if folder.is_symlink():
        raise BadInputError(f"{folder} is a link to {folder.readlink()}, and links are not followed; name a new folder")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        is_export = _is_export(folder)
        if not (is_export and overwrite):
            hint = "name a new folder, or replace it with --overwrite" if is_export else "name a new folder"
            raise BadInputError(f"{folder} exists and {'holds an export' if is_export else 'is not an export'}; {hint}")
    make_folder(folder.parent)


def _is_export(folder: Path) -> bool:
    """Return whether a folder holds an export, whole or in part, and nothing else."""
    try:
        card = read_card(folder) if folder.is_dir() else None
    except DDBenchError:
        return False
    return card is not None and {path.name for path in folder.iterdir()} <= {CARD, *card.files}


def _accuracies(distilled: DistilledDataset, results: Iterable[Result]) -> tuple[Mapping[str, str], ...]:
    """Return the accuracies of this very set, as text: those of its method, settings, data, budget and seed."""
    origin, found = distilled.provenance, []
    config = origin.get("config", {SET_DIGEST: content_digest(distilled)})
    for result in results:
        accuracy = result.metric("test_accuracy")
        same = (
            result.method == origin.get("method")
            and result.ipc == distilled.ipc
            and result.distill_seed == origin.get("distill_seed", 0)
            and result.dataset_fingerprint == origin.get("dataset_fingerprint")
            and result.config == config
            and result.share_prepare == origin.get("share_prepare", False)
        )
        if same and accuracy is not None and result.status == "ok" and not result.is_altered:
            values = [100 * value for value in accuracy.values]
            mean = sum(values) / len(values)
            spread = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else None
            found.append(
                {
                    "protocol": f"{result.protocol}@{result.protocol_hash}",
                    "network": result.network,
                    "accuracy": f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}",
                    "counts": f"{len(values)} students",
                }
            )
    return tuple(found)
