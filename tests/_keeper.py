"""Loops stopped inside this process with their state kept, and gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from ddbench.method import Resumable


class KilledError(Exception):
    """The run was killed."""


class Keeper:
    """A tracker that stops a loop behind `done` items with its state kept; in a second run it goes on from there.

    The state goes through the bytes of a file, as a checkpoint's does.
    """

    def __init__(self, done: int) -> None:
        self.done = done
        self.kept: dict[str, Tensor] | None = None

    def __call__(self, iterable: Iterable[Any], description: str, state: Resumable) -> Iterator[Any]:
        items = list(iterable)
        if self.kept is not None:
            state.load_state({name: tensor.clone() for name, tensor in self.kept.items()})
            yield from items[self.done :]
            return
        yield from items[: self.done]
        self.kept = load(save({name: tensor.contiguous() for name, tensor in state.save_state().items()}))
        raise KilledError
