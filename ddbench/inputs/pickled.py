"""PyTorch's own files (`.pt`), read without running what is pickled in them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular

SLACK = 64 * 2**20  # bytes that a file may unpack to beyond its own size: tensors are stored as they are


def read_pickled(path: Path, what: str, allowed: Sequence[Any] = (), advice: str = "save its state dict alone") -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a PyTorch file holds: tensors, on the CPU and mapped from the file where it can be, and plain values.

    Args:
        path: the file.
        what: what it is, for the message.
        allowed: further classes and functions that may stand in it, each alone or with the name it has there.
        advice: what to do about a file that holds code.

    Raises:
        BadInputError: nothing there, no regular file, damaged, no PyTorch file, one that holds code, or one that
            unpacks to far more than it is.
    """
    import torch

    size = check_regular(path, what).st_size
    try:
        packed = zipfile.is_zipfile(path)
        unpacked = _unpacked_size(path) if packed else size
        if unpacked > size + SLACK:
            raise BadInputError(f"{what} {path} unpacks to {unpacked:,} bytes from {size:,}; save it uncompressed")
        # What torch says of old or rare forms of tensors is for whoever wrote them.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except BadInputError:
        raise
    except Exception as error:  # torch has no error of its own for a bad file: pickle's, zip's and others come through
        if code := re.search(r"GLOBAL (\S+)", str(error)):  # torch's word for what it did not let a pickle call
            raise BadInputError(
                f"{what} {path} holds Python code ({code[1]}) that would run on loading; {advice}"
            ) from error
        raise BadInputError(f"{what} {path} is damaged or not a PyTorch file; copy or download it again") from error


def _unpacked_size(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
