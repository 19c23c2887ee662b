"""`ddbench import`: distilled sets that other programs wrote, as folders that `evaluate` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.cli._app import DataDir, Device, app, path
from ddbench.cli._arguments import names_of
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import say
from ddbench.errors import BadInputError
from ddbench.inputs.values import LARGEST_SEED
from ddbench.registry import DATASETS, IMPORTERS


@app.command("import")
def import_sets(
    source: Annotated[Path, typer.Argument(parser=path, help="File or folder that another program wrote.")],
    form: Annotated[
        str, typer.Option("--as", help="Its format: one of `ddbench list importers`.", **names_of(IMPORTERS))
    ],
    dataset: Annotated[str, typer.Option(help="Data set that the sets stand for.", **names_of(DATASETS))],
    out: Annotated[Path, typer.Option(parser=path, help="New folder; of several sets, one folder each in it.")],
    method: Annotated[str | None, typer.Option(help="Name in tables.", show_default="the files' own")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the (first) set.")] = None,
    space: Annotated[
        Literal["normalised", "pixels", "zca"] | None,
        typer.Option(help="Space of the images, where the files do not say it.", show_default="the files' own"),
    ] = None,
    normalised_by: Annotated[
        str | None,
        typer.Option(
            help="What they are normalised by: imagenet, half, or MEAN/STD such as 0.5,0.5,0.5/0.2,0.2,0.2.",
            show_default="the data set's mean and std",
        ),
    ] = None,
    factor: Annotated[
        int | None, typer.Option(min=1, help="Smaller images a side of each holds (IDC, NCFM).", show_default="1")
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Soft labels are logits: take their softmax.")] = False,
    student_lr: Annotated[float | None, typer.Option(help="Learning rate of students.", show_default="none")] = None,
    class_map: Annotated[
        Path | None, typer.Option(parser=path, help="File of lines NAME: CLASS for names that are no classes.")
    ] = None,
    pixel_margin: Annotated[
        str | None,
        typer.Option(help="How far pixels may lie outside 0..1, in widths of it, or unbounded.", show_default="3"),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch OWNER/NAME from the Hugging Face hub.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an import left there.")] = False,
    device: Device = None,
    data_dir: DataDir = None,
) -> None:
    """Bring in distilled sets that another program wrote. Nothing in its files is run."""
    from ddbench.runs.distill import RunOptions
    from ddbench.runs.foreign_values import SourceFacts
    from ddbench.runs.importing import check_import_target, import_set, save_imported

    told = SourceFacts(
        method, seed, space, normalised_by, factor, logits, student_lr, class_map, pixel_margin, download=download
    )
    if not out.name or out.resolve().is_relative_to(source.resolve()):
        raise BadInputError(f"{out} cannot hold a distilled set; name a new folder outside of the source")
    with taken_back_if_empty(out.parent):
        check_import_target(out, overwrite=overwrite)
        imported = import_set(source, form, dataset, told, options=RunOptions(data_dir=data_dir, device=device))
        folders = save_imported(imported, out, overwrite=overwrite)
    for note in imported.notes:
        say(f"note: {note}")
    for folder, made in zip(folders, imported.sets, strict=True):
        say(f"{folder}: {_describe(made)}")
    several = " ".join(map(str, folders)) if len(folders) <= 3 else f"{out}/seed*"
    say(f"next: ddbench evaluate {several} --dataset {dataset}")


def _describe(made: object) -> str:
    """Return in a few words what an imported set is."""
    from ddbench.distilled.dataset import DistilledDataset
    from ddbench.tables.quantities import bytes_text

    assert isinstance(made, DistilledDataset)
    low, high = (float(end) for end in made.images.aminmax())
    rate = f", student lr {made.student_lr:.4g}" if made.student_lr is not None else ""
    parts = f", each holds {made.decode_factor**2}" if made.decode_factor > 1 else ""
    return (
        f"{made.provenance['method']} seed {made.provenance['distill_seed']}, ipc {made.ipc}, {len(made.images)} "
        f"images {'x'.join(map(str, made.images.shape[1:]))}{parts} in space {made.space} ({low:.3g}..{high:.3g}), "
        f"{made.label_mode} labels{rate}, {bytes_text(made.num_bytes)}"
    )
