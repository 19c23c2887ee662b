"""`ddbench list`: what is registered and what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.cli._app import DataDir, app
from ddbench.cli._showing import console, list_of
from ddbench.errors import BadInputError
from ddbench.registry import DATASETS, REGISTRIES

Kind = Literal[
    "methods",
    "datasets",
    "networks",
    "evaluators",
    "protocols",
    "importers",
    "exporters",
    "runners",
    "loggers",
    "presets",
]


@app.command("list")
def list_names(
    kind: Annotated[
        Kind | None, typer.Argument(case_sensitive=False, help="What to list; everything if nothing is named.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Print the classes of a data set instead, each by its label.",
            autocompletion=DATASETS.names,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List what is registered, of all kinds or of one, and the shipped presets."""
    if classes is not None:
        if kind is not None:
            raise BadInputError(f"--classes prints the classes of one data set: leave out {kind}")
        _show_classes(classes, data_dir)
        return
    from ddbench.runs.presets import load_preset, preset_names

    for name, registry in REGISTRIES.items():
        if kind in (None, name):
            _show_names(name, {entry: registry.summary(entry) for entry in registry.names()})
    if kind in (None, "presets"):
        _show_names("presets", {name: load_preset(name).source for name in preset_names()})


def _show_classes(dataset: str, data_dir: Path | None) -> None:
    from ddbench.dataset import load_dataset

    info = load_dataset(dataset, data_dir).info
    classes = ((str(label), name) for label, name in enumerate(info.class_names))
    console().print(list_of(classes, ("label", "class"), info.name))


def _show_names(title: str, summaries: Mapping[str, str]) -> None:
    console().print(list_of(summaries.items(), ("name", "what it is"), title))
