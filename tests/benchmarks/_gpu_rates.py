"""Rates of a GPU, measured as a product of large square matrices, and a switch for each precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from tests.benchmarks._pairs import alternate

Arithmetic = Literal["fp32", "tf32", "bf16"]
ARITHMETICS: tuple[Arithmetic, ...] = ("fp32", "tf32", "bf16")
SIDE, ROUNDS = 8192, 5


@contextmanager
def arithmetic(name: Arithmetic) -> Iterator[None]:
    """Let float32 products and convolutions run in TF32 or not while the block runs; `bf16` is up to the caller."""
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


def waited(function: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return a function that runs `function` and waits for the device, so that a clock sees all of it."""

    def run() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def measured_rate(name: Arithmetic, device: torch.device, side: int = SIDE) -> float:
    """Return the floating-point operations per second of a (side, side) matrix product."""
    dtype = torch.bfloat16 if name == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    with arithmetic(name):
        product = waited(lambda: left @ right, device)
        seconds, _ = alternate(product, product, ROUNDS)
    return 2 * side**3 / seconds


def copy_rate(device: torch.device, num_values: int = 2**30) -> float:
    """Return the bytes read and written per second by a copy of so many float32 values from place to place."""
    source = torch.rand(num_values, device=device)
    target = torch.empty_like(source)
    copy = waited(lambda: target.copy_(source), device)
    seconds, _ = alternate(copy, copy, ROUNDS)
    return 2 * source.nbytes / seconds
