"""Work done in chunks whose size changes no number, only memory and speed; where memory runs out, chunks shrink."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

Items = TypeVar("Items", Tensor, list[int])
T = TypeVar("T")
Log = Callable[[str, object], None]

# What torch's allocators say where they raise a plain RuntimeError: on a CPU always, on a GPU inside its libraries.
SAYINGS = (
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
)


class _Shrunk:
    """Sizes that chunks shrank to, by name, and the log to tell of it."""

    def __init__(self, log: Log | None = None) -> None:
        self.sizes: dict[str, int] = {}
        self._log = log

    def shrink(self, name: str, size: int, smaller: int) -> None:
        self.sizes[name] = smaller
        if self._log is not None:
            self._log(f"out_of_memory[{name}]", f"from {size} to {smaller}")


_current: ContextVar[_Shrunk | None] = ContextVar("shrunk chunks", default=None)


@contextmanager
def shrunk_chunks(log: Log | None = None) -> Iterator[dict[str, int]]:
    """Yield a dictionary that is filled, while the block runs, with the sizes chunks shrank to: what to record.

    Within the block a chunk that shrank stays small, so that memory does not run out again at every call.

    Args:
        log: is told of every shrinking, as a named value.
    """
    shrunk = _Shrunk(log)
    token = _current.set(shrunk)
    try:
        yield shrunk.sizes
    finally:
        _current.reset(token)


def in_chunks(name: str, function: Callable[[Items], T], items: Items, size: int) -> list[T]:
    """Return what `function` gives for consecutive chunks of `items`, halving their size where memory runs out.

    Args:
        name: of the size, as it stands in a Result's engine, such as `test_chunk`.
        function: must draw nothing and change nothing, because a chunk that did not fit is done again in parts.
        items: (N, ...) tensor, or a list.
        size: of a chunk, at least 1; the last may be smaller.

    Raises:
        RuntimeError: memory ran out for a single item; the allocator's own error.
    """
    shrunk = _current.get() or _Shrunk()
    results: list[T] = []
    start = 0
    while start < len(items):
        length = min(shrunk.sizes.get(name, size), size, len(items) - start)
        try:
            results.append(function(items[start : start + length]))
            start += length
            continue
        except Exception as error:
            if length == 1 or not is_out_of_memory(error):
                raise
        # Outside the handler: the error's traceback holds the tensors of the attempt.
        shrunk.shrink(name, length, length // 2)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    return results


def even_size(count: int, limit: int) -> int:
    """Return the size of the fewest equal chunks of at most `limit` that `count` images fill."""
    return math.ceil(count / math.ceil(count / limit))


def explain_out_of_memory(error: BaseException) -> str:
    """Return one line: what could not be had, in the allocator's words, and what to try."""
    if isinstance(error.__context__, torch.OutOfMemoryError):
        error = error.__context__
    said = " ".join(str(error).split()) or type(error).__name__
    if refused := re.search(r"you tried to allocate (\d+) bytes", said):
        said = f"{int(refused[1]) / 2**30:.1f} GiB of host memory could not be had"
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", said)
    # Then come the process's own share, and advice for programs in general.
    text = " ".join(sentences[:3])[:300].rstrip(".")
    remedy = "take fewer images per class, smaller batches or a smaller network"
    if "CUDA" in said:
        remedy += (
            ", stop what else uses the GPU, or set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, which helps where "
            "much is reserved and not allocated"
        )
    return f"{text}; {remedy}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on the host or on a GPU, or came of one that does."""
    if isinstance(error.__context__, torch.OutOfMemoryError):
        return True
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in SAYINGS)
