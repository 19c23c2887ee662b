"""Folders of code that is kept and run again: nobody else may have put anything there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ddbench.errors import BadInputError


def make_private_folder(path: Path) -> None:
    """Create a folder that only this user may enter, or check that one is such.

    Raises:
        BadInputError: it cannot be made, or it is a link, somebody else's, or open to others' writing until now: what
            lies there may be anybody's.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            path.mkdir(mode=0o700)
        status = path.lstat()
        problem = _problem(status)
        if problem is None and stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)  # others could only read
        if problem is None and not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise BadInputError(
            f"cannot write to folder {path}: {error.strerror or error}; choose a writable one"
        ) from error
    if problem is not None:
        raise BadInputError(f"{path} is not used, because it holds code and {problem}; remove it")


def check_own_file(path: Path) -> None:
    """Raise BadInputError where a file of code that is there is a link, somebody else's or may be written by others."""
    try:
        status = path.lstat()
    except OSError:
        return
    problem = _problem(status)
    if problem is not None:
        raise BadInputError(f"{path} is not run, because it {problem.removeprefix('it ')}; remove it")


def _problem(status: os.stat_result) -> str | None:
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "it is another user's"
    if stat.S_IMODE(status.st_mode) & 0o022:
        return "it may be written by others"
    return None
