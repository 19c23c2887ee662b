"""Reads the file of an offline run of Weights & Biases, for which their package has had no reader since 0.31.

It is LevelDB's log format behind a header of 7 bytes: blocks of 32 KiB of parts, each with a header of checksum, length
and kind; records are messages of the package's own protocol buffers.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 2**15
FULL, LAST = 1, 4  # kinds of parts that end a record


def read_records(path: Path) -> dict[str, list[Any]]:
    """Return all records of a file by kind, in their order."""
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content.startswith(b":W&B")
    found: dict[str, list[Any]] = {}
    place, record = HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # no room for a part: filled up with zeros
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            message = wandb_internal_pb2.Record.FromString(record)
            name = message.WhichOneof("record_type")
            found.setdefault(name, []).append(getattr(message, name))
            record = b""
    return found
