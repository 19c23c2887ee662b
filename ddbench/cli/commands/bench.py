"""`ddbench bench`: the speed benchmarks of a source checkout, each against a plain reference-style loop."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ddbench.cli._app import DataDir, app, path
from ddbench.errors import BadInputError, UnknownNameError

PREFIX = "test_"
NEEDS = {"pytest": "pytest", "pytest-benchmark": "pytest_benchmark"}  # packages and what is imported of them


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; all of them if none is named.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Only list the benchmarks there are.")] = False,
    save: Annotated[
        Path | None, typer.Option(parser=path, help="Also keep the measurements in this folder, as JSON.")
    ] = None,
    data_dir: DataDir = None,
) -> int:
    """Time our training loops against plain PyTorch loops on this machine; exit code 1 if one misses its target."""
    from ddbench.host.files import make_folder

    found = find_benchmarks()
    chosen = choose(names or [], found)
    if show:
        _show({name: found[name] for name in chosen})
        return 0
    _check_installed()
    command = [sys.executable, "-m", "pytest", *(str(found[name]) for name in chosen), "-m", "speed", "-s", "-q"]
    if save is not None:
        make_folder(save)
        command.append(f"--benchmark-json={_new_file(save)}")
    environment = dict(os.environ)
    if data_dir is not None:
        from ddbench.dataset import DATA_DIR_VARIABLE

        environment[DATA_DIR_VARIABLE] = str(data_dir.resolve())
    return 1 if subprocess.run(command, cwd=_checkout(), env=environment).returncode else 0


def find_benchmarks() -> dict[str, Path]:
    """Return the files of all benchmarks by name, sorted.

    Raises:
        BadInputError: this is an installed copy without its tests.
    """
    folder = _checkout() / "tests" / "benchmarks"
    files = {path.stem.removeprefix(PREFIX): path for path in sorted(folder.glob(f"{PREFIX}*.py"))}
    if not files:
        raise BadInputError(
            "the benchmarks are part of the source checkout and this is an installed copy without them; clone the "
            "repository and run `ddbench bench` there"
        )
    return files


def choose(names: Sequence[str], found: dict[str, Path]) -> list[str]:
    """Return the benchmarks asked for, each once, or all; raises UnknownNameError for one that is not there."""
    from ddbench.registry import suggest

    for name in names:
        if name not in found:
            raise UnknownNameError(f"unknown benchmark {name!r}; {suggest(name, list(found))}")
    return list(dict.fromkeys(names)) or list(found)


def first_line(path: Path) -> str:
    """Return the first line of a Python file's docstring, without running the file."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0]


def _check_installed() -> None:
    missing = [package for package, module in NEEDS.items() if find_spec(module) is None]
    if missing:
        raise BadInputError(f'ddbench bench needs {" and ".join(missing)}: pip install "ddbench[testing]"')


def _checkout() -> Path:
    return Path(__file__).resolve().parents[3]


def _new_file(folder: Path) -> Path:
    """Return a file that is not there yet, named by the time."""
    from ddbench.host.clock import utc_now

    return folder.resolve() / f"benchmarks-{utc_now()[:19].replace(':', '-')}.json"


def _show(files: dict[str, Path]) -> None:
    from ddbench.cli._showing import console, list_of

    rows = [(name, first_line(file)) for name, file in files.items()]
    console().print(list_of(rows, ("name", "what it measures")))
