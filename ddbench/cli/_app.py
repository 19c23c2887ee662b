"""What the commands have in common: the application that each joins, and the options that several take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddbench.errors import BadInputError
from ddbench.inputs.paths import as_path


def path(text: str) -> Path:
    """Return what a path on the command line means; the parser of every argument and option that takes one.

    Typer's own would make the working folder of an empty text before a command saw it.
    """
    try:
        return as_path(text)
    except BadInputError as error:
        raise typer.BadParameter(str(error)) from error


app = typer.Typer(
    help="A benchmark for dataset distillation: run methods, compare them across images per class, check claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        parser=path, help="Folder of data sets.", envvar="DDBENCH_DATA_DIR", show_default="the user's cache folder"
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:<index>.", show_default="a GPU if there is one")]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="Settings to start from: one of `ddbench list presets`, or a .toml file.")
]
TableFormat = Annotated[
    Literal["terminal", "md", "csv", "latex", "html", "json"],
    typer.Option("--format", case_sensitive=False, help="Output format."),
]
TableFile = Annotated[Path | None, typer.Option("--out", "-o", parser=path, help="Write to this file.")]
