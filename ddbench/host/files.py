"""Where ddbench's files are, and how they are written so that a killed run leaves whole files or none."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path
from safetensors import SafetensorError

from ddbench.errors import BadInputError, DataMismatchError, DDBenchError
from ddbench.host.leftovers import beating, remove_leftovers, staging_path
from ddbench.inputs.paths import as_path

if TYPE_CHECKING:
    from torch import Tensor

CACHE_DIR_VARIABLE = "DDBENCH_CACHE_DIR"
STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
LINKS = 40  # as many as Linux follows


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that follow from JSON-able content, in whatever order its keys stand."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_tensors(path: Path, advice: str) -> dict[str, Tensor]:
    """Return the tensors of a file that was made here; raises DataMismatchError, with what to do."""
    from safetensors.torch import load_file  # torch comes with it, and finding files needs none

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataMismatchError(f"{path} is missing or damaged; {advice}") from error


def find_cache_dir() -> Path:
    """Return the folder for work that can be made again: $DDBENCH_CACHE_DIR, else the user's cache."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    return as_path(chosen, CACHE_DIR_VARIABLE) if chosen else user_cache_path("ddbench")


def baselines_dir() -> Path:
    """Return the folder of suites, presets and numbers: inside an installed package, else beside the package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "baselines"
    return inside if inside.is_dir() else package.parent / "baselines"


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8) in one step."""
    with staged_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; the file written there takes its place, synced, when the block ends.

    A link stays one, and what it leads to is replaced. What is no regular file, such as a named pipe, `/dev/null` or
    `/dev/stdout`, is written to instead of being replaced.

    Raises:
        BadInputError: the place cannot be written to.
    """
    with _explained(path):
        if is_special(path):
            with tempfile.TemporaryDirectory(prefix="ddbench-") as folder:
                yield Path(folder) / path.name
                _pour(Path(folder) / path.name, path)
            return
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.is_symlink():  # a loop leads nowhere
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        temporary = staging_path(target)
        remove_leftovers(target)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
        finally:
            with suppress(OSError):  # where the folder itself cannot be reached, an error says so
                temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: Path, *, replace: bool = True, sweeps: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its place, synced, when the block ends without an error.

    Args:
        target: the place.
        replace: take the place of a folder that is there by then.
        sweeps: remove first what killed processes left of the target, for which all names beside it are read.

    Raises:
        BadInputError: the place cannot be written to, or is a link: what that leads to is somebody else's; or something
            has come to be there that may not be replaced.
    """
    if target.is_symlink():
        raise BadInputError(f"{target} is a link and would be replaced; name the folder that it leads to, or a new one")
    staging = staging_path(target)
    make_folder(target.parent)
    if sweeps:
        remove_leftovers(target)
    with _explained(target):
        staging.mkdir()
        try:
            with beating(staging):
                yield staging
            for path in staging.rglob("*"):
                sync(path)
            _take_place(staging, target, replace=replace)
            sync(target.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def is_special(path: Path) -> bool:
    """Return whether what lies at a path, links followed, is written to and never replaced: a pipe, a device."""
    if _descriptor_of(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _descriptor_of(path: Path) -> int | None:
    """Return the number behind names such as `/dev/stdout`, which may stand for a regular file; None for others."""
    for _ in range(LINKS):
        name = os.path.abspath(path)  # noqa: PTH100 - links are not to be followed
        found = re.fullmatch(r"/(?:dev|proc/self)/fd/([0-9]+)", name)
        if found or name in STREAMS:
            return STREAMS[name] if found is None else int(found[1])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _pour(source: Path, target: Path) -> None:
    """Write the bytes of a file to what is no regular file, or to a descriptor of this process where it stands."""
    number = _descriptor_of(target)
    descriptor = os.open(target, os.O_WRONLY) if number is None else os.dup(number)
    with source.open("rb") as file, open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor
        shutil.copyfileobj(file, stream)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of the system, and of libraries that write, into one line about the place."""
    try:
        yield
    except DDBenchError:  # which some errors of the system are too
        raise
    except BrokenPipeError:  # whoever read has enough
        raise
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full or missing disk
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"cannot write {path}: {reason}; choose a writable place") from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents; raises BadInputError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise BadInputError(
            f"cannot write to folder {path}: {error.strerror or error}; choose a writable folder"
        ) from error


def sync(path: Path) -> None:
    """Force a file's or folder's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_place(staging: Path, target: Path, *, replace: bool) -> None:
    try:
        staging.rename(target)  # over nothing, or over an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if not replace:
            message = f"{target} was written by another process meanwhile, and stays as it is; name a new folder"
            raise BadInputError(message) from error
    # A folder cannot be renamed over a filled one: the old one steps aside first and goes when the new one stands.
    old = staging.with_name(f"{staging.name}-old")
    target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
