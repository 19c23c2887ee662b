"""The same computation in float64, and in float32 on two devices: how far apart float32 may be follows from float64.

A computation takes `give`, which brings a host float64 tensor to where and in what it is computed. In float64 it is run
once as it is, and some times with every input changed by about a float32's rounding: what the outputs then move by is
what rounding may do, units of a ReLU that tip over zero included. A float32 result may be `FACTOR` times as far from
float64. TF32, whose rounding is 8,000 times as coarse, lies far outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Rounding errors of a sum of thousands of products are some times those of one; found on a CPU, whose results must lie
# within the bound as well.
ROUNDING, FACTOR, DRAWS = 2.0**-22, 8.0, 6
FLOOR = 8e-6  # where rounding inside counts for more than that of the inputs, as of coordinates to sample at


Give = Callable[[Tensor], Tensor]
Computation = Callable[[Give], dict[str, Tensor]]


def compare(computation: Computation, device: torch.device) -> dict[str, Any]:
    """Return for each output the relative errors on the CPU and on `device`, the bound, and whether both keep it."""
    reference = _flat(computation(_give(torch.device("cpu"), torch.float64)))
    moved = [_flat(computation(_give(torch.device("cpu"), torch.float64, seed))) for seed in range(DRAWS)]
    there = {"cpu": torch.device("cpu"), device.type: device}
    found = {name: _flat(computation(_give(place, torch.float32))) for name, place in there.items()}
    outputs: dict[str, Any] = {}
    for name, expected in reference.items():
        bound = FACTOR * max(FLOOR / FACTOR, *(_error(other[name], expected) for other in moved))
        errors = {place: _error(values[name], expected) for place, values in found.items()}
        outputs[name] = {**errors, "bound": bound, "holds": all(error <= bound for error in errors.values())}
    return outputs


def _give(device: torch.device, dtype: torch.dtype, seed: int | None = None) -> Give:
    generator = None if seed is None else torch.Generator().manual_seed(seed)

    def give(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.to(device)
        if generator is not None:
            noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor = tensor * (1 + ROUNDING * noise)
        return tensor.to(device, dtype)

    return give


def _flat(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().double().cpu().flatten() for name, value in outputs.items()}


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp(min=1e-30))
