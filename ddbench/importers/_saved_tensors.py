"""Tensors that other programs saved with torch or numpy, read without running anything."""

from __future__ import annotations

import codecs
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.inputs.paths import check_regular
from ddbench.inputs.pickled import read_pickled

RESAVE = (
    "load it where it was written and save plain tensors: torch.save({'images': images, 'labels': labels}, FILE), "
    "then import that --as tensors"
)
LARGEST_ARRAYS = 16 * 2**30  # bytes that a .npz file may unpack to
# Kinds of numpy's numbers, which many programs leave among their tensors; arrays are not read: numpy would take what a
# file claims for objects in memory.
_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


class _Kind:
    """Stands for a dtype in a file: its name and byte order, and nothing that numpy would act on."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]


def _number(kind: object, data: object = b"") -> float:
    """Return the number that numpy's own function of this place would make."""
    if not isinstance(kind, _Kind) or kind.name not in _KINDS or not isinstance(data, bytes):
        raise ValueError("no plain number")
    return np.frombuffer(data, np.dtype(f"{kind.order}{kind.name}"), count=1)[0].item()  # type: ignore[no-any-return]


_OF_NUMPY = [
    (_Kind, "numpy.dtype"),
    _Kind,
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (codecs.encode, "_codecs.encode"),
]


def read_saved(path: Path, what: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a PyTorch file holds, numpy's numbers included; nothing in it is run.

    Raises:
        BadInputError: nothing there, damaged, no PyTorch file, or one that holds code.
    """
    return read_pickled(path, what, _OF_NUMPY, RESAVE)


def read_arrays(path: Path, what: str) -> dict[str, Tensor]:
    """Return the arrays of a `.npz` file by name.

    Raises:
        BadInputError: nothing there, damaged, objects among the arrays, or far more data than a set has.
    """
    check_regular(path, what)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > LARGEST_ARRAYS:
            raise BadInputError(f"{what} {path} unpacks to {unpacked:,} bytes; save its arrays in several files")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: as_tensor(arrays[name], f"{name} in {path}") for name in arrays.files}
    except BadInputError:
        raise
    except Exception as error:  # numpy's and zip's errors are of many kinds
        raise BadInputError(f"{what} {path} is damaged or holds no plain arrays; {RESAVE}") from error


def as_tensor(value: object, what: str) -> Tensor:
    """Return a tensor of what a program left as one: a tensor, a parameter or an array; a copy that stands alone.

    Raises:
        BadInputError: something else, or numbers that torch does not have.
    """
    try:
        found = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    except TypeError as error:
        raise BadInputError(f"{what} holds {value.dtype} values; save numbers") from error  # type: ignore[attr-defined]
    if not isinstance(found, Tensor) or found.layout != torch.strided or found.is_quantized:
        raise BadInputError(f"{what} must be a dense tensor, got {type(value).__name__}; {RESAVE}")
    if found.device.type == "meta" or found.numel() * found.element_size() > found.untyped_storage().nbytes():
        raise BadInputError(f"{what} claims {tuple(found.shape)} values and holds fewer; save a tensor that is whole")
    return found.detach().clone()


def as_rate(value: object, what: str) -> float:
    """Return a learning rate that a program left as a number or as a tensor of one.

    Raises:
        BadInputError: something else.
    """
    if (
        isinstance(value, Tensor)
        and value.numel() == 1
        and not (value.is_complex() or value.is_quantized or value.is_meta)
    ):
        return float(value.detach())
    if isinstance(value, np.ndarray | np.number) and value.size == 1 and value.dtype.kind in "fiu":
        return float(value.reshape(-1)[0])
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30:
        return float(value)
    raise BadInputError(f"{what} must be one number, got {type(value).__name__}; give it with --student-lr")
