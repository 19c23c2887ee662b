"""What a GPU's arithmetic is: a matter of the protocol, never of what a machine or an earlier program has set.

By default torch's convolutions run in TF32 on newer GPUs and its products do not, and cuDNN may take another algorithm
from one call to the next. A CPU has neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.training_recipe import Precision


@contextmanager
def arithmetic_of(precision: Precision, device: torch.device) -> Iterator[None]:
    """Make `device` the current GPU while the block runs, and its float32 arithmetic what a precision says.

    TF32 is on for `tf32` and for nothing else; cuDNN takes algorithms that give the same bits every time, and tries
    none out. What was set before is set again at the end.

    Raises:
        BadInputError: `tf32` on a device that has no such arithmetic.
    """
    check_precision(precision, device)
    if device.type != "cuda":
        yield
        return
    before = _set({**_tf32_flags(precision == "tf32"), "cudnn.deterministic": True, "cudnn.benchmark": False})
    try:
        with torch.cuda.device(device):
            yield
    finally:
        _set(before)


def _tf32_flags(is_on: bool) -> dict[str, Any]:
    """Return torch's flags of TF32, by their names below `torch.backends`, as they are to be.

    The older ones, which torch's own code reads too; where a program has set the newer ones, which there are from torch
    2.9 on, the older ones can no longer be read.
    """
    try:
        _ = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:
        names = ("cudnn.conv", "cudnn.rnn", "cuda.matmul")
        return {f"{name}.fp32_precision": "tf32" if is_on else "ieee" for name in names}
    return {"cudnn.allow_tf32": is_on, "cuda.matmul.allow_tf32": is_on}


def _set(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Set flags of `torch.backends` and return what they were."""
    before = {}
    for name, value in flags.items():
        owner, _, last = name.rpartition(".")
        place = attrgetter(owner)(torch.backends)
        before[name] = getattr(place, last)
        setattr(place, last, value)
    return before


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise BadInputError for `tf32` on a device that has no such arithmetic."""
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise BadInputError(
            f"a protocol in TF32 needs an NVIDIA GPU from Ampere on, got {device}; use the same protocol in float32"
        )


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; on a GPU the host goes on at once, which from pageable memory it often does not."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def send_network(network: nn.Module, device: torch.device) -> None:
    """Move a network's parameters and buffers, as `send` does; `Module.to` waits for each of them."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = send(tensor.data, device)
