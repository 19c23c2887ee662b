"""`ddbench distill`: one distilled set, kept as a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ddbench.cli._app import LARGEST_SEED, DataDir, Device, PresetName, app, path
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import progress, say
from ddbench.errors import BadInputError, DivergedError

LONGEST_VALUE = 4096  # characters of a setting, which may be a path


@app.command()
def distill(
    method: Annotated[str, typer.Argument(help="Registered method.")],
    dataset: Annotated[str, typer.Option(help="Data set, such as cifar10 or image_folder:PATH,size=64.")],
    ipc: Annotated[int, typer.Option(help="Images per class.")],
    out: Annotated[Path, typer.Option(parser=path, help="New folder for the distilled set.")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Distillation seed.")] = 0,
    preset: PresetName = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value setting of the method; overrides the preset's.")
    ] = None,
    device: Device = None,
    data_dir: DataDir = None,
) -> None:
    """Distil a data set and keep the result as a folder."""
    from ddbench.dataset import load_dataset
    from ddbench.distilled import check_target
    from ddbench.host.machine import resolve_device
    from ddbench.method import make_method
    from ddbench.report.grid import save_grid
    from ddbench.runs.distill import check_supported
    from ddbench.runs.distill import distill as run_distill
    from ddbench.runs.presets import preset_settings
    from ddbench.tables.quantities import bytes_text

    chosen = parse_settings(settings or [])
    if preset is not None:
        chosen = preset_settings(preset, method, chosen)
    built = make_method(method, chosen)
    resolve_device(device)
    real = load_dataset(dataset, data_dir)
    check_supported(method, built, real, ipc)
    if preset is not None:
        _note_other_use(preset, dataset, ipc)
    last_good = out.resolve().with_name(f"{out.resolve().name}-last-good")
    with taken_back_if_empty(out.parent):
        for folder in (out, last_good):
            check_target(folder)
        try:
            with progress() as options:
                distilled = run_distill(method, real, ipc, seed, chosen, device, options=options)
        except DivergedError as error:
            error.last_good.save(last_good)
            raise DivergedError(f"{error}; the last good images are in {last_good}", error.last_good) from error
        distilled.save(out)
    save_grid(distilled, real.info, out / "images.png")
    say(f"{len(distilled.images)} images, {bytes_text(distilled.num_bytes)} -> {out} (picture: {out / 'images.png'})")
    say(_times(distilled.provenance["phases"]))
    say(f"next: ddbench evaluate {out} --dataset {dataset}")


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
