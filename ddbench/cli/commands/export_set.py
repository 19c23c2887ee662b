"""`ddbench export-set`: a distilled set in a form that another program reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ddbench.cli._app import DataDir, app, path
from ddbench.cli._arguments import checked, has_results, may_be_set, names_of
from ddbench.cli._folders import taken_back_if_empty
from ddbench.cli._showing import Problems, say
from ddbench.registry import DATASETS, EXPORTERS

PIXEL_LOSSES = ("clipped", "mean_change", "largest_change")


@app.command("export-set")
def export_set(
    folder: Annotated[Path, typer.Argument(parser=path, help="Folder of a distilled set.", **checked(may_be_set))],
    form: Annotated[str, typer.Option("--as", help="Form: one of `ddbench list exporters`.", **names_of(EXPORTERS))],
    out: Annotated[Path, typer.Option(parser=path, help="New folder.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set.", show_default="the one it was made from", **names_of(DATASETS)),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            parser=path, help="Results that state its accuracy on a card; repeatable.", **checked(has_results)
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence on a card, as the hub names it.")] = "unknown",
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Also upload it to the Hugging Face hub.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export that lies there.")] = False,
    data_dir: DataDir = None,
) -> int:
    """Write a distilled set for another program, and say what that form cannot hold."""
    from ddbench.distilled.files import load_distilled
    from ddbench.errors import BadInputError
    from ddbench.exporter import CARD
    from ddbench.runs.distill import RunOptions
    from ddbench.runs.exporting import export_set as write_export
    from ddbench.runs.results_store import read_results

    if push is not None and (form != "huggingface" or push.count("/") != 1):
        raise BadInputError("--push OWNER/NAME uploads an export --as huggingface; give both")
    if not out.name or out.resolve().is_relative_to(folder.resolve()):
        raise BadInputError(f"{out} cannot hold an export; name a new folder outside of the set")
    problems = Problems()
    with taken_back_if_empty(out.parent):
        distilled = load_distilled(folder)
        found = read_results(results, problems.tell) if results else []
        options = RunOptions(data_dir=data_dir)
        lost = write_export(
            distilled, form, out, dataset, results=found, licence=licence, overwrite=overwrite, options=options
        )
    say(f"{len(distilled.images)} images -> {out} (what they are: {out / CARD})")
    say(_lost_words(lost))
    if push is not None:
        _upload(out, push)
        say(f"uploaded to {push}")
    return problems.exit_code


def _lost_words(lost: Mapping[str, Any]) -> str:
    """Return in a sentence what an export could not hold."""
    parts = []
    if "clipped" in lost:
        parts.append(
            f"{100 * lost['clipped']:.3g} % of the pixels lay outside 0..1 and were clipped; clipping and rounding to "
            f"8 bits changed them by {lost['mean_change']:.2g} on average, {lost['largest_change']:.2g} at most"
        )
    parts += [f"{key.replace('_', ' ')}: {value}" for key, value in lost.items() if key not in PIXEL_LOSSES]
    return f"lost: {'; '.join(parts)}" if parts else "nothing was lost"


def _upload(folder: Path, name: str) -> None:
    """Upload a folder as a data set of the hub."""
    from huggingface_hub import HfApi

    from ddbench.errors import BadInputError

    try:
        hub = HfApi()
        hub.create_repo(name, repo_type="dataset", exist_ok=True)
        hub.upload_folder(repo_id=name, repo_type="dataset", folder_path=folder)
    except Exception as error:  # the hub's and the network's are of many kinds
        reason = " ".join(str(error).split())[:160]
        raise BadInputError(f"{folder} is written, but not uploaded to {name}: {reason}; log in, try again") from error
