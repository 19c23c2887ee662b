"""What the data sets with an official archive share: read what is there, fetch where asked, say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ddbench.errors import DataMismatchError, DataMissingError

T = TypeVar("T")


def read_or_fetch(name: str, read: Callable[[], T], fetch: Callable[[], object], *, download: bool) -> T:
    """Return `read()`; where that fails and `download` is true, fetch once and read again.

    Args:
        name: registered name of the data set.
        read: returns the data or raises a DDBenchError.
        fetch: a torchvision download, which verifies checksums and skips files that are already right.
        download: whether anything may be fetched.

    Raises:
        DataMissingError: nothing is there, or it could not be fetched.
        DataMismatchError: what is there is damaged.
    """
    try:
        return read()
    except (DataMissingError, DataMismatchError):
        if not download:
            raise
    try:
        fetch()
    except (OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataMissingError(
            f"cannot fetch dataset {name}: {reason}; check the connection and that the data folder is writable, "
            "or put the files there by hand"
        ) from error
    return read()


def missing(name: str, data_dir: Path, wanted: str) -> DataMissingError:
    """Return the error for a data set whose files are not there; `wanted` says which files were looked for."""
    return DataMissingError(
        f"dataset {name} is not in {data_dir} (looked for {wanted}); fetch it with: ddbench doctor --download {name}"
    )
