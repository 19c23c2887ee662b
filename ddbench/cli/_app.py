"""What the commands have in common: the application that each joins, and the options that several take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ddbench.cli._arguments import check_device, checked, names_of, presets
from ddbench.errors import BadInputError
from ddbench.inputs.paths import as_path
from ddbench.registry import LOGGERS


def path(text: str) -> Path:
    """Return what a path on the command line means; the parser of every argument and option that takes one.

    Typer's own would make the working folder of an empty text before a command saw it.
    """
    try:
        return as_path(text)
    except BadInputError as error:
        raise typer.BadParameter(str(error)) from error


def jobs(text: str) -> int | Literal["auto"]:
    """Return what a number of cells at once means on the command line."""
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or not int(text[:9]) >= 1 or len(text) > 6:
        raise typer.BadParameter(f"expected a number of cells from 1, or auto, got {text!r}")
    return int(text)


@dataclass(frozen=True)
class RunWhere:
    """Where cells run, as the command line says it: see `ddbench.runner.RunnerOptions`."""

    runner: str = "local"
    jobs: int | Literal["auto"] | None = None
    address: str | None = None
    devices: int = 1


HERE = RunWhere()

app = typer.Typer(
    help="A benchmark for dataset distillation: run methods, compare them across images per class, check claims.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        parser=path, help="Folder of data sets.", envvar="DDBENCH_DATA_DIR", show_default="the user's cache folder"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda or cuda:<index>.", show_default="a GPU if there is one", **checked(check_device)),
]
Jobs = Annotated[
    Any,
    typer.Option(
        parser=jobs,
        metavar="N|auto",
        help="Cells at once: a number, or auto for one a GPU, on a processor as many as its threads allow.",
    ),
]
Devices = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="GPUs that the students of one set are spread over; on a CPU, processes."),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="Settings to start from: one of `ddbench list presets`, or a .toml file.",
        **presets(),
    ),
]
Loggers = Annotated[
    list[str] | None,
    typer.Option(
        "--logger",
        help="Tracker that what is logged goes to, of `ddbench list loggers`; repeatable.",
        **names_of(LOGGERS),
    ),
]
LogEvery = Annotated[
    int, typer.Option(metavar="N", min=1, help="With --logger: keep every Nth value that is logged under one name.")
]
TableFormat = Annotated[
    Literal["terminal", "md", "csv", "latex", "html", "json"],
    typer.Option("--format", case_sensitive=False, help="Output format."),
]
TableFile = Annotated[Path | None, typer.Option("--out", "-o", parser=path, help="Write to this file.")]
