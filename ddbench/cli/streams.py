"""The standard streams as they are found: closed, full, or for fewer characters than ddbench writes."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

PLAIN = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{MICRO SIGN}": "u",
    "\N{DAGGER}": "+",
    "\N{DOUBLE DAGGER}": "++",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{BULLET}": "*",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{NO-BREAK SPACE}": " ",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
}
HANDLER = "ddbench-plain"
PIPE_CLOSED = 141  # what a shell says of a program that wrote to a pipe nobody reads any more


def plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that a stream cannot show, and where to go on; a handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def prepare_streams() -> None:
    """Let no character be an error, and give numbers 0 to 2 that are closed a place that takes everything.

    A file opened later would otherwise get such a number, and what libraries print would go into it. `LC_ALL=C` asks
    for plain characters, though Python itself writes UTF-8 then.
    """
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    codecs.register_error(HANDLER, plain_characters)
    is_plain = os.environ.get("LC_ALL") in ("C", "POSIX") and not (
        os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") or "utf8" in sys._xoptions
    )
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="ascii" if is_plain else None, errors=HANDLER)


@contextmanager
def naming_the_output() -> Iterator[None]:
    """Give errors of writing to the standard output its name, a closed pipe's left out."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "the standard output") from error


def let_go_of_output() -> None:
    """Let what is still to be written to the standard output go nowhere: its place is full or gone."""
    _let_go_of(sys.stdout)


def _let_go_of(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def let_go_of_errors_nobody_reads() -> None:
    """Let what the error stream could not take go nowhere, for Python would fail at its end over it."""
    try:
        if not sys.stderr.closed:
            sys.stderr.flush()
    except OSError:
        _let_go_of(sys.stderr)


def _plain(character: str) -> str:
    if character in PLAIN:
        return PLAIN[character]
    if "\u2500" <= character <= "\u257f":  # lines of boxes
        return "|" if character in "│┃║╎╏┆┇┊┋" else "-" if character in "─━═╌╍┄┅┈┉╴╶╸╺" else "+"
    return ascii(character)[1:-1]
