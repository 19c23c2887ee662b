"""What a GPU's arithmetic is: a matter of the protocol, never of what a machine or an earlier program has set.

By default torch's convolutions run in TF32 on newer GPUs and its products do not, and cuDNN may take another algorithm
from one call to the next. A CPU has neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    wanted = {"allow_tf32": precision == "tf32", "deterministic": True, "benchmark": False}
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = {name: getattr(cudnn, name) for name in wanted}
    products_before = products.allow_tf32
    try:
        for name, value in wanted.items():
            setattr(cudnn, name, value)
        products.allow_tf32 = precision == "tf32"
        with torch.cuda.device(device):
            yield
    finally:
        for name, value in before.items():
            setattr(cudnn, name, value)
        products.allow_tf32 = products_before


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise BadInputError for `tf32` on a device that has no such arithmetic."""
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise BadInputError(
            f"a protocol in TF32 needs an NVIDIA GPU from Ampere on, got {device}; take the same protocol in float32"
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
