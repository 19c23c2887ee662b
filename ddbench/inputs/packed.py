"""Gzip files, unpacked to the size that their content claims and no further."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular, explain_os_error

MOST_TO_ONE = 1040  # how often over deflate can shrink: 1032 times, and a little for short files
LONGEST_HEADER = 64


def read_packed(path: Path, what: str, size_of: Callable[[bytes], int]) -> bytes:
    """Return the content of a file, unpacked where its name ends in `.gz`: at most one byte more than it should be.

    Args:
        path: the file.
        what: what it is, for the message.
        size_of: gives the number of bytes that the whole content should have for its first 64 ones; whether it has
            them is the caller's to check.

    Raises:
        BadInputError: nothing there, no regular file, damaged, or one that claims more than it can hold.
    """
    size = check_regular(path, what).st_size
    is_packed = path.suffix == ".gz"
    most = size * MOST_TO_ONE + LONGEST_HEADER if is_packed else size + 1
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            start = file.read(LONGEST_HEADER)
            wanted = size_of(start)
            if wanted > most and is_packed:
                raise BadInputError(f"{what} {path} claims {wanted:,} bytes and has at most {most:,}; fetch it again")
            return start + file.read(max(0, min(wanted + 1, most) - len(start)))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInputError(f"{what} {path} is damaged: {error}; fetch or copy it again") from error
    except OSError as error:
        raise BadInputError(f"{what} {path} {explain_os_error(error)}") from error
