"""The command line: finds the commands, and turns a mistake into one line; what they do is in `cli/commands`."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Annotated

import typer

from ddbench.cli._app import app
from ddbench.cli._loading import say_slow_imports
from ddbench.cli.signals import EndedBySignal, end_like, signals_end_the_run
from ddbench.cli.streams import (
    PIPE_CLOSED,
    let_go_of_errors_nobody_reads,
    let_go_of_output,
    naming_the_output,
    prepare_streams,
)
from ddbench.errors import DDBenchError, tidy
from ddbench.host.spinning import spin_briefly

# Some releases of typer carry a copy of click: the base of their usage errors is found through a public one.
UsageMistake: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

INTERRUPTED = 130  # exit code after Ctrl+C
COMPLETION_VARIABLE = "_DDBENCH_COMPLETE"  # by which the script of `--install-completion` asks; typer's word for it

commands = import_module("ddbench.cli.commands")  # by name: they stand on this room, not it on them
for found in iter_modules(commands.__path__, f"{commands.__name__}."):
    import_module(found.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 with one line for bad input, never a traceback for it.

    Args:
        arguments: those of the program where None, which then also ends as a signal does that told it to.
    """
    prepare_streams()
    if arguments is None and os.environ.get(COMPLETION_VARIABLE):
        return _complete()
    if arguments is None:
        say_slow_imports()
        os.environ["PYTHONSAFEPATH"] = "1"  # of processes that are started: they look for no modules in a folder
        spin_briefly()
    plain, warnings.formatwarning = warnings.formatwarning, _format_warning
    try:
        with signals_end_the_run() as arrived:
            code = _run(arguments)
        if arrived:
            raise EndedBySignal(arrived[0])
        if code == INTERRUPTED:  # typer's own word for it
            raise KeyboardInterrupt
        _flush()
        return code
    except EndedBySignal as error:
        _say(f"ended by {error.name}; rerun the same command to continue")
        if arguments is None:
            with suppress(OSError):
                _flush()
            end_like(error.number)
        return 128 + error.number
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted; rerun the same command to continue")
        return INTERRUPTED
    except BrokenPipeError:
        let_go_of_output()
        return PIPE_CLOSED
    except OSError as error:
        let_go_of_output()  # it may be what is full
        place = error.filename or "a file that it needs"
        _say(f"cannot use {place}: {error.strerror or error}; choose a place that is writable and not full")
        return 2
    finally:
        let_go_of_errors_nobody_reads()
        warnings.formatwarning = plain


def _complete() -> int:
    """Print what can follow the words that a shell asks about; where something is broken, nothing: it is mid-typing."""
    try:
        app(args=[], prog_name="ddbench")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception:
        return 1
    return 0


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="ddbench")
        return code if isinstance(code, int) else 0
    except (UsageMistake, DDBenchError) as error:
        text = _usage_words(error) if isinstance(error, UsageMistake) else str(error)
        if not text:  # a bare `ddbench` has printed its help
            return 0
        _say(text)
        return 2
    except SystemExit as error:  # how typer ends where nobody reads any more, or when it has shown its completion
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from error
        if isinstance(error.code, int):
            return error.code
        raise
    except (MemoryError, RuntimeError) as error:
        from ddbench.engine.chunks import explain_out_of_memory, is_out_of_memory

        if not is_out_of_memory(error):
            raise
        _say(explain_out_of_memory(error))
        return 1


def _usage_words(error: Exception) -> str:
    """Return what typer says of the command line, without the words of the library that it reads values with."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = re.sub("Value error, |Input (?=should)|, unable to parse string as an? [a-z]+", "", text)
    context = getattr(error, "ctx", None)
    if text.startswith("Missing ") and context is not None:
        return f"{text.rstrip('.')}; see `{context.command_path} --help`"
    problems: list[dict[str, object]] = getattr(error.__cause__, "errors", list)()
    is_shown = any(problem.get("type") == "value_error" for problem in problems)
    return f"{text}, got {problems[0]['input']!r}" if problems and not is_shown else text


def _flush() -> None:
    """Write what is printed, while an error can still be told."""
    with naming_the_output():
        if not sys.stdout.closed:
            sys.stdout.flush()


def _say(text: str) -> None:
    """Print one line on the error stream, if that takes it."""
    with suppress(OSError):
        print(tidy(f"ddbench: {text}"), file=sys.stderr, flush=True)


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


class _Program(ModuleType):
    """This module, which can be called: `from ddbench.cli import main` gave the function before this was a folder."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        return main(arguments)


sys.modules[__name__].__class__ = _Program

if __name__ == "__main__":
    sys.exit(main())
