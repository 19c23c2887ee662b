"""Paths as users give them: what cannot be one, and what lies there, is told in one line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ddbench.errors import BadInputError

LONGEST_PATH, LONGEST_NAME = 4096, 255  # bytes, of Linux and its common file systems

_NEVER_USABLE = (errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG)  # not even to write to

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def as_path(given: object, what: str = "path") -> Path:
    """Return a path that a user gave, `~` expanded.

    Args:
        given: text or a `Path`.
        what: what the path is of, for the message: "suite file".

    Raises:
        BadInputError: it is empty, too long, not in UTF-8, holds a NUL byte or is no path at all; or it leads through
            a loop of links or a folder that may not be entered. Whether anything is there is not asked.
    """
    if not isinstance(given, str | os.PathLike):
        raise BadInputError(f"{what} must be a path, got {type(given).__name__} {given!r}")
    text = os.fspath(given)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not text.strip():
        raise BadInputError(f"{what} is empty; name a file or folder, or . for the working folder")
    if "\0" in text:
        raise BadInputError(f"{what} {text!r} holds a NUL byte; check how it was put together")
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:  # bytes of another encoding, which no message and no record could hold
        raise BadInputError(f"{what} {text!r} is not text in UTF-8; rename it") from error
    longest = max(map(len, encoded.split(os.sep.encode())))
    if len(encoded) >= LONGEST_PATH or longest > LONGEST_NAME:
        raise BadInputError(
            f"{what} {text} is too long: at most {LONGEST_PATH - 1} bytes, and {LONGEST_NAME} between two slashes"
        )
    try:
        path = Path(text).expanduser()
        path.stat()
    except RuntimeError as error:  # ~nobody
        raise BadInputError(f"{what} {text}: {error}; write the folder out") from error
    except OSError as error:
        if error.errno in _NEVER_USABLE:
            raise BadInputError(f"{what} {text} {explain_os_error(error)}") from error
    return path


def check_regular(path: Path, what: str) -> os.stat_result:
    """Return the status of a regular file that is there and may be read.

    Raises:
        BadInputError: nothing there, no regular file, a loop of links, or no permission.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise BadInputError(f"{what} {path} {explain_os_error(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS.items() if test(status.st_mode)), "not a file")
        raise BadInputError(f"{what} {path} must be a regular file, but is {kind}; name the file")
    if not os.access(path, os.R_OK):
        raise BadInputError(f"{what} {path} may not be read by you; check its permissions")
    return status


def explain_os_error(error: OSError) -> str:
    """Return what is wrong with a path in words that follow its name, and what to do."""
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the path"
    if isinstance(error, NotADirectoryError):
        return "lies below a file, which is not a folder; check the path"
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself; remove the loop"
    if error.errno == errno.ENAMETOOLONG:
        return "is too long for its file system; use a shorter one"
    if isinstance(error, PermissionError):
        return "may not be read by you; check the permissions of it and of its folders"
    return f"cannot be read: {error.strerror or error}; check the path and its file system"
