"""JSON, JSON lines and TOML files of a user's: regular, not too large, UTF-8, not too deep, or one line of error.

YAML has more to be refused and a module of its own, `ddbench.inputs.yaml`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular, explain_os_error

MEBIBYTE = 2**20
LARGEST = {"YAML": MEBIBYTE, "TOML": 4 * MEBIBYTE, "JSON": 64 * MEBIBYTE, "JSON lines": 2**30, "CSV": 64 * MEBIBYTE}
DEEPEST = 60  # lists and tables inside each other; deeper ones are mistakes or attacks


def read_bytes(path: Path, what: str, largest: int) -> bytes:
    """Return the content of a regular file of at most `largest` bytes.

    Raises:
        BadInputError: nothing there, something else than a file, too large, or it cannot be read.
    """
    size = check_regular(path, what).st_size
    if size > largest:
        raise BadInputError(f"{what} {path} has {size:,} bytes, more than {largest:,}; is it the right file?")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{what} {path} {explain_os_error(error)}") from error


def read_text(path: Path, what: str, largest: int) -> str:
    """Return the text of a UTF-8 file; raises BadInputError as `read_bytes`, and where it is in another encoding."""
    return decode(read_bytes(path, what, largest), f"{what} {path}")


def decode(content: bytes, where: str) -> str:
    """Return UTF-8 text, a byte-order mark at its start left out; `where` names the place in the error."""
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInputError(f"{where} must be text in UTF-8, is not in line {line}; save it as UTF-8") from error


def read_json(path: Path, what: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the content of a JSON file; raises BadInputError where it is none or cannot be read."""
    return parse_json(read_text(path, what, LARGEST["JSON"]), f"{what} {path}")


def read_json_lines(path: Path, what: str) -> Iterator[tuple[int, Any]]:
    """Yield number and content of every line of a file that is not blank; raises BadInputError as `read_json`."""
    # Not splitlines(): that would also split at characters that may stand inside a JSON string.
    for number, line in enumerate(read_bytes(path, what, LARGEST["JSON lines"]).split(b"\n"), 1):
        if line.strip():
            where = f"{what} {path}, line {number},"
            yield number, parse_json(decode(line, where), where)


def parse_json(text: str, where: str) -> Any:  # noqa: ANN401
    """Return what JSON text holds.

    Raises:
        BadInputError: no JSON, too deep, a number too long, or text that is no Unicode; `where` begins the message.
    """
    try:
        content = json.loads(text)
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
    """Raise BadInputError where parsed content is too deep or holds text that is no Unicode, as half a character is."""
    waiting: list[tuple[object, int]] = [(content, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise BadInputError(f"{where} is nested more than {DEEPEST} deep; is it the right file?")
        if isinstance(part, str):
            if not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
                raise BadInputError(f"{where} holds text that is no Unicode: {part!r}; fix or replace it")
        elif isinstance(part, dict):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
