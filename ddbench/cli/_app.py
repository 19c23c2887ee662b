"""What the commands have in common: the application that each joins, and the options that several take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="A benchmark for dataset distillation: run methods, compare them across images per class, check claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets.", envvar="DDBENCH_DATA_DIR", show_default="the user's cache folder"),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:<index>.", show_default="a GPU if there is one")]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="Settings to start from: one of `ddbench list presets`, or a .toml file.")
]
TableFormat = Annotated[
    Literal["terminal", "md", "csv", "latex", "html", "json"], typer.Option("--format", help="Output format.")
]
TableFile = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")]
