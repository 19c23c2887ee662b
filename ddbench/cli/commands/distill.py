"""`ddbench distill`: one distilled set, kept as a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ddbench.cli._app import DataDir, Device, PresetName, app
from ddbench.cli._showing import progress, say
from ddbench.errors import BadInputError, DivergedError


@app.command()
def distill(
    method: Annotated[str, typer.Argument(help="Registered method.")],
    dataset: Annotated[str, typer.Option(help="Data set, such as cifar10 or image_folder:PATH,size=64.")],
    ipc: Annotated[int, typer.Option(help="Images per class.")],
    out: Annotated[Path, typer.Option(help="New folder for the distilled set.")],
    seed: Annotated[int, typer.Option(min=0, help="Distillation seed.")] = 0,
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
    from ddbench.report.grid import save_grid
    from ddbench.runs.distill import distill as run_distill
    from ddbench.runs.presets import preset_settings
    from ddbench.tables.quantities import bytes_text

    last_good = out.resolve().with_name(f"{out.resolve().name}-last-good")
    for folder in (out, last_good):
        check_target(folder)
    chosen = parse_settings(settings or [])
    if preset is not None:
        chosen = preset_settings(preset, method, chosen)
    real = load_dataset(dataset, data_dir)
    if preset is not None:
        _note_other_use(preset, dataset, ipc)
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
    """Turn `key=value` texts into settings; values are read as YAML scalars.

    Raises:
        BadInputError: no `=`, an empty part, a key given twice, or a value that is no YAML.
    """
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise BadInputError(f"--set takes key=value, got {pair!r}")
        if key in settings:
            raise BadInputError(f"--set gives {key!r} twice; keep one")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise BadInputError(f"--set {key}: {value!r} is not a value") from error
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
