"""Where ddbench's files are, and how they are written so that a killed run leaves whole files or none."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path
from safetensors import SafetensorError

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.inputs.paths import as_path

if TYPE_CHECKING:
    from torch import Tensor

CACHE_DIR_VARIABLE = "DDBENCH_CACHE_DIR"


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

    Raises:
        BadInputError: the place cannot be written to.
    """
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full or missing disk
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"cannot write {path}: {reason}; choose a writable place") from error
    finally:
        with suppress(OSError):  # where the folder itself cannot be reached, the error above says so
            temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its place, synced, when the block ends without an error.

    Raises:
        BadInputError: the place cannot be written to.
    """
    staging = target.parent / f".tmp-{target.name}-{os.getpid()}"
    make_folder(target.parent)
    _remove_leftovers(target)
    make_folder(staging)
    try:
        yield staging
        for path in staging.rglob("*"):
            sync(path)
        _replace_folder(staging, target)
        sync(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


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


def leftovers(target: Path) -> list[Path]:
    """Return the staging folders of `target` whose process was killed."""
    names = re.compile(rf"\.tmp-{re.escape(target.name)}-([0-9]+)(-old)?")
    found = [(path, names.fullmatch(path.name)) for path in target.parent.iterdir()]
    return [path for path, name in found if name and (int(name[1]) == os.getpid() or not _is_alive(int(name[1])))]


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of `target`; one killed between two renames gets its old folder back."""
    for leftover in leftovers(target):
        if leftover.name.endswith("-old") and not target.exists():
            leftover.rename(target)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace_folder(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    # A folder cannot be renamed over a filled one: the old one steps aside first and goes when the new one stands.
    old = target.parent / f".tmp-{target.name}-{os.getpid()}-old"
    target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
