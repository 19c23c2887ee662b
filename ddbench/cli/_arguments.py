"""What arguments of commands are checked against as they are read: before torch is imported, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import typer

from ddbench.cli import _completion as completion
from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular
from ddbench.registry import NETWORKS, Registry

T = TypeVar("T")
OPTIONS = ":,"  # what comes before options in a name, such as `image_folder:PATH` or `soft-label,teacher=FILE`


def names_of(registry: Registry[Any]) -> dict[str, Any]:
    """Return what makes an argument of typer's one or several names of a registry: completed and checked."""

    def check(name: str) -> None:
        if registry is NETWORKS:
            from ddbench.inputs.network_names import split_spec

            split_spec(name)
        else:
            registry.check_name(name if name in registry.names() else _without_options(name))

    return {"autocompletion": registry.names, **checked(check)}


def checked(check: Callable[[Any], object]) -> dict[str, Any]:
    """Return what makes an argument of typer's checked, each of several; `check` raises for what cannot be."""

    def callback(ctx: typer.Context, value: Any) -> Any:  # noqa: ANN401 - whatever the argument is
        if not ctx.resilient_parsing:  # a shell that completes asks about half a line
            for each in _each(value):
                check(each)
        return value

    return {"callback": callback}


def may_be_set(folder: Path) -> None:
    """Raise BadInputError where nothing lies at a place that a distilled set is to be read from."""
    if not folder.exists():
        raise BadInputError(f"{folder} is not a distilled set: it does not exist; name the folder of one")


def has_results(path: Path) -> None:
    """Raise BadInputError where nothing lies at a path that results are to be read from."""
    if not path.exists():
        raise BadInputError(f"{path} does not exist; name a folder written by `ddbench run` or a .jsonl file")


def check_suite(name: str) -> None:
    """Raise BadInputError where there is no suite of a name, or no file."""
    from ddbench.runs.suite_files import find_suite

    check_regular(find_suite(name), "suite")


def check_preset(name: str) -> None:
    """Raise BadInputError where there is no preset of a name, or the file cannot be read."""
    from ddbench.runs.presets import load_preset

    load_preset(name)


def check_device(word: str) -> None:
    """Raise BadInputError for what is no device at all; whether this machine has it, torch knows."""
    kind, colon, index = word.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not index.isdecimal()):
        raise BadInputError(f"device must be cpu, cuda or cuda:<index>, got {word!r}")


def suites() -> dict[str, Any]:
    """Return what makes an argument of typer's a suite."""
    return {"autocompletion": completion.suites, **checked(check_suite)}


def presets() -> dict[str, Any]:
    """Return what makes an argument of typer's a preset."""
    return {"autocompletion": completion.presets, **checked(check_preset)}


def _without_options(name: str) -> str:
    return name[: min((name.find(mark) for mark in OPTIONS if mark in name), default=len(name))]


def _each(value: object) -> Iterable[object]:
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)
