"""`ddbench list`: what is registered and what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.cli._app import DataDir, app
from ddbench.cli._arguments import names_of
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
    "suites",
    "claims",
]


@app.command("list")
def list_names(
    kind: Annotated[
        Kind | None, typer.Argument(case_sensitive=False, help="What to list.", show_default="everything")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Print the classes of a data set instead, each by its label.",
            **names_of(DATASETS),
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List what is registered, of all kinds or of one, and the presets, suites and claims files that come with it."""
    if classes is not None:
        if kind is not None:
            raise BadInputError(f"--classes prints the classes of one data set: leave out {kind}")
        _show_classes(classes, data_dir)
        return
    from ddbench.claims.shipped import claims_names, family_of
    from ddbench.runs.presets import load_preset, preset_names
    from ddbench.runs.suite_files import find_suite, first_sentence, suite_names

    for name, registry in REGISTRIES.items():
        if kind in (None, name):
            _show_names(name, {entry: registry.summary(entry) for entry in registry.names()})
    if kind in (None, "presets"):
        _show_names("presets", {name: load_preset(name).source for name in preset_names()})
    if kind in (None, "suites"):
        _show_names("suites", {name: first_sentence(find_suite(name)) for name in suite_names()})
    if kind in (None, "claims"):
        _show_names("claims", {name: family_of(name) for name in claims_names()})


def _show_classes(dataset: str, data_dir: Path | None) -> None:
    from ddbench.dataset import load_dataset

    info = load_dataset(dataset, data_dir).info
    classes = ((str(label), name) for label, name in enumerate(info.class_names))
    console().print(list_of(classes, ("label", "class"), info.name))


def _show_names(title: str, summaries: Mapping[str, str]) -> None:
    console().print(list_of(summaries.items(), ("name", "what it is"), title))
