"""Safetensors files, read without trusting their headers; nothing is ever unpickled."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from ddbench.errors import BadInputError, check_not_told_to_end
from ddbench.inputs.paths import check_regular, explain_os_error

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 32 * 2**20  # bytes; a large network's has a few hundred thousand


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file, on the CPU, and its metadata.

    Raises:
        BadInputError: nothing there, no regular file, no safetensors, or one that is cut off or has an absurd header.
    """
    size = check_regular(path, what).st_size
    try:
        with path.open("rb") as file:
            start = file.read(8)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else None
        if header is None or header > min(size - 8, LARGEST_HEADER):
            raise BadInputError(f"{what} {path} is not a safetensors file, or is cut off; copy it again")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            return tensors, dict(file.metadata() or {})
    except BadInputError:  # a ValueError too
        raise
    except OSError as error:
        raise BadInputError(f"{what} {path} {explain_os_error(error)}") from error
    except (
        SafetensorError,
        ValueError,
        RuntimeError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
    ) as error:
        check_not_told_to_end()
        reason = " ".join(str(error).split())[:120]
        raise BadInputError(f"{what} {path} is damaged or not a safetensors file: {reason}; copy it again") from error
