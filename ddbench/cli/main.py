"""The command line: finds the commands, and turns a mistake into one line; what they do is in `cli/commands`."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated

import typer

from ddbench.cli._app import app
from ddbench.errors import DDBenchError, tidy

# Some releases of typer carry a copy of click: the base of their usage errors is found through a public one.
UsageMistake: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

commands = import_module("ddbench.cli.commands")  # by name: they stand on this room, not it on them
for found in iter_modules(commands.__path__, f"{commands.__name__}."):
    import_module(found.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 with one line for bad input, never a traceback for it."""
    plain, warnings.formatwarning = warnings.formatwarning, _format_warning
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="ddbench")
        return code if isinstance(code, int) else 0
    except (UsageMistake, DDBenchError) as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        text = re.sub("Value error, |Input (?=should)", "", text)  # words of the library that typer reads values with
        if not text:  # a bare `ddbench` has printed its help
            return 0
        print(tidy(f"ddbench: {text}"), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("ddbench: interrupted; rerun the same command to continue", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        from ddbench.engine.chunks import explain_out_of_memory, is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print(tidy(f"ddbench: {explain_out_of_memory(error)}"), file=sys.stderr)
        return 1
    finally:
        warnings.formatwarning = plain


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as one line, without the place in the code where it arose."""
    return tidy(f"ddbench: warning: {message}") + "\n"


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A benchmark for dataset distillation."""
    if version:
        from ddbench import __version__

        print(f"ddbench {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    sys.exit(main())
