"""One seed and named axes -> independent generators, so that nothing depends on call order or on the clock."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *axes: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and every axis, and on nothing else."""
    text = "/".join(f"{type(axis).__name__}:{axis}" for axis in (seed, *axes))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(seed: int, *axes: str | int) -> torch.Generator:
    """Return a CPU generator for `seed` and the named axes; the same draws follow on every device."""
    return torch.Generator().manual_seed(derive_seed(seed, *axes))


def draw_seed(generator: torch.Generator) -> int:
    """Draw a 63-bit seed from `generator`, for code that seeds a generator of its own."""
    return int(torch.randint(2**63 - 1, (), generator=generator, device="cpu"))
