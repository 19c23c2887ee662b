"""JSON, JSON lines and TOML files of a user's: regular, not too large, UTF-8, not too deep, or one line of error.

YAML has more to be refused and a module of its own, `ddbench.inputs.yaml`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular, explain_os_error

MEBIBYTE = 2**20
# Bytes. PyYAML reads 60 KB a second, tomllib 4 MB: what may be read is read in seconds.
LARGEST = {
    **{"text": 16 * MEBIBYTE, "YAML": MEBIBYTE // 4, "TOML": 4 * MEBIBYTE, "JSON": 64 * MEBIBYTE},
    "JSON lines": 2**30,  # each at most what a JSON file may be
}
DEEPEST = 60  # lists and tables inside each other; deeper ones are mistakes or attacks
LARGEST_INTEGER = 2**63 - 1  # what seeds, sizes and counts are kept in


def read_bytes(path: Path, what: str, largest: int) -> bytes:
    """Return the content of a regular file of at most `largest` bytes.

    Raises:
        BadInputError: nothing there, something else than a file, too large, or it cannot be read.
    """
    size = check_regular(path, what).st_size
    try:
        with path.open("rb") as file:
            # Not more than allowed, whatever the size said: files of /proc have none and no end.
            content = file.read(min(size, largest) + 1)
            content += file.read(largest - size + 1) if len(content) == size + 1 <= largest else b""
    except OSError as error:
        raise BadInputError(f"{what} {path} {explain_os_error(error)}") from error
    if max(size, len(content)) > largest:
        raise BadInputError(f"{what} {path} has over {largest:,} bytes, the most that are read; is it the right file?")
    return content


def read_text(path: Path, what: str, largest: int = LARGEST["text"]) -> str:
    """Return the text of a UTF-8 file; raises BadInputError as `read_bytes`, and where it is in another encoding."""
    return decode(read_bytes(path, what, largest), f"{what} {path}")


def decode(content: bytes, where: str) -> str:
    """Return UTF-8 text, a byte-order mark at its start left out; `where` names the place in the error."""
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInputError(f"{where} must be text in UTF-8, but line {line} is not; save it as UTF-8") from error


def read_json(path: Path, what: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the content of a JSON file; raises BadInputError where it is none or cannot be read."""
    return parse_json(read_text(path, what, LARGEST["JSON"]), f"{what} {path}")


def read_json_lines(path: Path, what: str) -> Iterator[tuple[int, Any]]:
    """Yield number and content of every line of a file that is not blank; raises BadInputError as `read_json`."""
    # Not splitlines(): that would also split at characters that may stand inside a JSON string.
    for number, line in enumerate(read_bytes(path, what, LARGEST["JSON lines"]).split(b"\n"), 1):
        where = f"{what} {path}, line {number},"
        if len(line) > LARGEST["JSON"]:
            raise BadInputError(f"{where} is longer than {LARGEST['JSON']:,} bytes; is it the right file?")
        if line.strip():
            yield number, parse_json(decode(line, where), where)


def parse_json(text: str, where: str) -> Any:  # noqa: ANN401
    """Return what JSON text holds.

    Raises:
        BadInputError: no JSON, a key given twice, too deep, a number too large, or text that is no Unicode; `where`
            begins the message.
    """
    try:
        content = json.loads(text, object_pairs_hook=_as_table)
    except _TwiceError as error:
        raise BadInputError(f"{where} gives key {error.args[0]!r} twice; fix or replace it") from error
    except RecursionError as error:
        raise BadInputError(f"{where} is nested more than {DEEPEST} deep; is it the right file?") from error
    except json.JSONDecodeError as error:
        raise BadInputError(
            f"{where} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}; fix or replace it"
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise BadInputError(f"{where} holds a number that is too long to read; fix or replace it") from error
    check_content(content, where)
    return content


class _TwiceError(Exception):
    """A key that stands twice in one JSON object."""


def _as_table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in table if names.count(name) > 1))
    return table


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the content of a TOML file; raises BadInputError where it is none or cannot be read."""
    text = read_text(path, what, LARGEST["TOML"])
    where = f"{what} {path}"
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise BadInputError(f"{where} is nested more than {DEEPEST} deep; is it the right file?") from error
    except ValueError as error:  # no TOML, or an integer of thousands of digits
        raise BadInputError(f"{where} is not TOML: {error}; fix it") from error
    check_content(content, where)
    return content


def check_content(content: object, where: str) -> None:
    """Raise BadInputError where parsed content cannot be used by anybody: `where` begins the message.

    It is too deep, holds text that is no Unicode, as half a character is, or an integer of more than 64 bits.
    """
    waiting: list[tuple[Iterable[Any], int]] = [([content], 0)]
    while waiting:
        parts, depth = waiting.pop()
        if depth > DEEPEST:
            raise BadInputError(f"{where} is nested more than {DEEPEST} deep; is it the right file?")
        for part in parts:
            kind = type(part)  # parsers make no subclasses, and this is done for every number of 20,000 results
            if kind is str:
                if not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
                    raise BadInputError(f"{where} holds text that is not Unicode: {part!r}; fix or replace it")
            elif kind is dict:
                waiting += [(part, depth + 1), (part.values(), depth + 1)]
            elif kind is list:
                waiting.append((part, depth + 1))
            elif kind is int and abs(part) > LARGEST_INTEGER:
                raise BadInputError(f"{where} holds a number beyond 64 bits; give a smaller one")
