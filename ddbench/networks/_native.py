"""Instance norm, ReLU and 2x2 average pooling on a CPU by compiled code of our own (`_norm_relu_pool.cpp`).

Needs no compiling of the network around it: the step of a student trained eagerly is as fast as under torch's compiler
or faster, without the ten seconds and more that compiling takes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ddbench.native_code import load_native

SOURCE = Path(__file__).with_name("_norm_relu_pool.cpp")
# Of maps and pooled maps: sums and parameters are float32, but for float64's.
DTYPES = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}

_pointer, _number, _threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
FORWARD = (*[_pointer] * 4, ctypes.c_double, *[_number] * 4, _pointer, _threads)
BACKWARD = (*[_pointer] * 2, *[_number] * 4, *[_pointer] * 4, _threads)


@cache
def native_passes() -> dict[torch.dtype, tuple[Callable[..., None], Callable[..., None]]] | None:
    """Return the forward and the backward pass by the maps' dtype, None where this machine cannot compile them."""
    library = load_native(SOURCE)
    if library is None:
        return None
    found = {}
    for dtype in DTYPES:
        passes = []
        for name, types in (("forward", FORWARD), ("backward", BACKWARD)):
            function = library[f"{name}_{str(dtype).removeprefix('torch.')}"]
            function.argtypes, function.restype = types, None
            passes.append(function)
        found[dtype] = (passes[0], passes[1])
    return found


class _NormReluPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        batch, channels, height, width = maps.shape
        maps = maps.contiguous(memory_format=torch.channels_last)
        pooled = _new_maps(maps, batch, channels, height // 2, width // 2)
        kept = weight.new_empty(4, batch, channels)
        pointers = (maps.data_ptr(), pooled.data_ptr(), weight.data_ptr(), bias.data_ptr())
        sides = (batch, height, width, channels)
        _passes_of(maps)[0](*pointers, eps, *sides, kept.data_ptr(), torch.get_num_threads())
        ctx.save_for_backward(maps, kept)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        maps, kept = ctx.saved_tensors
        batch, channels, height, width = maps.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        by_maps, by_parameters = _new_maps(maps, *maps.shape), kept.new_empty(2, batch, channels)
        found = (kept.data_ptr(), by_maps.data_ptr(), by_parameters[0].data_ptr(), by_parameters[1].data_ptr())
        sides = (batch, height, width, channels)
        _passes_of(maps)[1](maps.data_ptr(), gradient.data_ptr(), *sides, *found, torch.get_num_threads())
        by_weight, by_bias = by_parameters.sum(1)
        return by_maps, by_weight, by_bias, None


def _new_maps(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _passes_of(maps: Tensor) -> tuple[Callable[..., None], Callable[..., None]]:
    passes = native_passes()
    assert passes is not None
    return passes[maps.dtype]


class NativeNormReluPool(nn.Module):
    """Instance norm, ReLU and 2x2 average pooling: (B, C, H, W) -> (B, C, H // 2, W // 2), in the maps' precision.

    Sums are float32, or float64 for float64 maps. It has a first derivative only, and cannot be traced.

    Args:
        norm: group norm with weights and one group per channel, whose parameters are shared.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps, in channels-last memory."""
        pooled: Tensor = _NormReluPool.apply(maps, self.weight, self.bias, self.eps)
        return pooled
