"""`ddbench distill`: one distilled set, kept as a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.cli._app import DataDir, Device, LogEvery, Loggers, PresetName, app, path
from ddbench.cli._arguments import names_of
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import progress, say
from ddbench.errors import BadInputError, DDBenchError, DivergedError
from ddbench.inputs.values import LARGEST_SEED
from ddbench.registry import DATASETS, METHODS

if TYPE_CHECKING:
    from ddbench.distilled.dataset import DistilledDataset

LONGEST_VALUE = 4096  # characters of a setting, which may be a path


@app.command()
def distill(
    method: Annotated[str, typer.Argument(help="Registered method.", **names_of(METHODS))],
    dataset: Annotated[
        str,
        typer.Option(help="Data set, such as cifar10 or image_folder:PATH,size=64.", **names_of(DATASETS)),
    ],
    ipc: Annotated[int, typer.Option(help="Images per class.")],
    out: Annotated[Path, typer.Option(parser=path, help="New folder for the distilled set.")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Distillation seed.")] = 0,
    preset: PresetName = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value setting of the method; overrides the preset's.")
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a distilled set that lies there.")] = False,
    logger: Loggers = None,
    log_every: LogEvery = 1,
) -> None:
    """Distil a data set and keep the result as a folder; loggers write into `logs` beside it."""
    from ddbench.dataset import load_dataset
    from ddbench.distilled.grid import save_grid
    from ddbench.host.machine import resolve_device
    from ddbench.logger import check_loggers
    from ddbench.method import make_method
    from ddbench.runs.distill import check_supported
    from ddbench.runs.distill import distill as run_distill
    from ddbench.runs.presets import preset_settings
    from ddbench.runs.results_store import LOGS_FOLDER
    from ddbench.tables.quantities import bytes_text

    if not (name := out.resolve().name):
        raise BadInputError(f"{out} cannot hold a distilled set; name a new folder")
    last_good = out.resolve().with_name(f"{name}-last-good")
    loggers, logs = tuple(logger or ()), out.resolve().with_name(LOGS_FOLDER)
    check_loggers(loggers)
    chosen = parse_settings(settings or [])
    if preset is not None:
        chosen = preset_settings(preset, method, chosen)
    built = make_method(method, chosen)
    resolve_device(device)
    real = load_dataset(dataset, data_dir)
    check_supported(method, built, real, ipc)
    if preset is not None:
        _note_other_use(preset, dataset, ipc)
    with taken_back_if_empty(out.parent):
        there = check_free(out, overwrite=overwrite)
        if there is not None:
            if not is_made_by(there, method, chosen, dataset, ipc, seed, data_dir):
                raise BadInputError(f"{out} holds {describe(there)}; name a new folder, or replace it with --overwrite")
            say(f"done already: {out} holds {describe(there)}")
            say(f"next: ddbench evaluate {out} --dataset {dataset}")
            return
        if check_free(last_good, overwrite=overwrite) is not None:
            raise BadInputError(f"{last_good} holds images of a run that diverged; move it, or use --overwrite")
        try:
            with progress() as options:
                options = replace(options, loggers=loggers, log_every=log_every, log_dir=logs)
                distilled = run_distill(method, real, ipc, seed, chosen, device, options=options)
        except DivergedError as error:
            error.last_good.save(last_good)
            raise DivergedError(f"{error}; the last good images are in {last_good}", error.last_good) from error
        distilled.save(out)
    try:
        save_grid(distilled, real.info, out / "images.png")
    except BadInputError as error:
        raise BadInputError(f"{out} holds the distilled set, whole, but without its picture: {error}") from error
    say(f"{len(distilled.images)} images, {bytes_text(distilled.num_bytes)} -> {out} (picture: {out / 'images.png'})")
    say(_times(distilled.provenance["phases"]))
    if loggers:
        say(f"logs: {', '.join(str(logs / name) for name in loggers)}")
    say(f"next: ddbench evaluate {out} --dataset {dataset}")


def check_free(folder: Path, *, overwrite: bool) -> DistilledDataset | None:
    """Return the distilled set that lies in a folder, None where it is free or the set may be replaced.

    Raises:
        BadInputError: a link, something else than a distilled set, a damaged one, or a place that cannot be written to.
    """
    from ddbench.distilled.files import check_target, load_distilled
    from ddbench.distilled.names import SIDECAR

    if folder.is_symlink():
        raise BadInputError(f"{folder} is a link to {folder.readlink()}, and links are not followed; name a new folder")
    check_target(folder)
    if overwrite or not (folder / SIDECAR).exists():
        return None
    try:
        return load_distilled(folder)
    except DDBenchError as error:
        raise BadInputError(f"{folder} holds a damaged set: {error}; name a new folder, or use --overwrite") from error


def is_made_by(
    there: DistilledDataset,
    method: str,
    settings: Mapping[str, Any],
    dataset: str,
    ipc: int,
    seed: int,
    data_dir: Path | None,
) -> bool:
    """Return whether a distilled set is what a command would make; the data set is loaded only where the rest fits."""
    from ddbench.dataset import load_dataset
    from ddbench.method import config_of, make_method

    origin = there.provenance
    built = make_method(method, dict(settings))
    same = {
        "method": method,
        "config": json.loads(json.dumps(config_of(built))),
        "distill_seed": seed,
        "share_prepare": False,
    }
    if any(origin.get(name) != value for name, value in same.items()) or "diverged" in origin:
        return False
    if built.uses_ipc and there.ipc != ipc:
        return False
    info = load_dataset(dataset, data_dir).info
    return (origin.get("dataset"), origin.get("dataset_fingerprint")) == (info.name, info.fingerprint)


def describe(there: DistilledDataset) -> str:
    """Return in a few words what a distilled set is, by its own account."""
    origin = there.provenance
    ipc = "" if there.ipc is None else f" at ipc {there.ipc}"
    return (
        f"a distilled set made by {origin.get('method', 'something')} from {origin.get('dataset', 'some data')}{ipc}, "
        f"seed {origin.get('distill_seed', 'unknown')}"
    )


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `key=value` texts into settings; values are read as YAML, a date as text.

    Raises:
        BadInputError: no `=`, an empty part, a key given twice, or a value that is no YAML or too long.
    """
    from ddbench.inputs.yaml import parse_yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise BadInputError(f"--set takes key=value, got {pair!r}")
        if key in settings:
            raise BadInputError(f"--set gives {key!r} twice; keep one")
        if len(value) > LONGEST_VALUE:
            raise BadInputError(f"--set {key} is longer than {LONGEST_VALUE} characters; give one value")
        settings[key] = parse_yaml(value, f"--set {key}: {value!r}")
    return settings


def _times(phases: Sequence[Mapping[str, Any]]) -> str:
    """Return how long each phase took, as tables show it; they leave out the first use: loading and warming up."""
    from ddbench.tables.quantities import seconds_text

    texts = [
        f"{phase['name'].replace('_', ' ')} {seconds_text(phase['reading']['seconds'])} s"
        + (", measured earlier and reused" if phase["cached"] else "")
        for phase in phases
    ]
    return f"time: {'; '.join(texts)}"


def _note_other_use(preset: str, dataset: str, ipc: int) -> None:
    """Print a line where a preset is used for a data set or IPC that it was not made for."""
    from ddbench.runs.presets import load_preset

    made_for = load_preset(preset)
    if (made_for.dataset, made_for.ipc) != (dataset, ipc):
        print(
            f"ddbench: note: preset {preset} is for {made_for.dataset} at ipc {made_for.ipc}, "
            f"and is used for {dataset} at ipc {ipc}",
            file=sys.stderr,
        )
