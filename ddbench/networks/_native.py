"""Convolution, instance norm, ReLU and 2x2 average pooling on a CPU as one step, in native code after the convolution.

Needs no compiling of the network around it: the step of a student is as fast as under torch's compiler or faster,
without the ten seconds and more that compiling takes. The convolution's bias, which the norm takes away again, is not
added; its gradient is exactly zero.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ddbench.native_code import load_native
from ddbench.networks._fused import is_norm_relu_pool, twin_of

N = TypeVar("N", bound=nn.Module)
Geometry = tuple[Any, ...]  # stride, padding, dilation, groups

SOURCE = Path(__file__).with_name("_norm_relu_pool.cpp")
# Of maps, and of the sums over them and the norm's parameters.
DTYPES = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}

_pointer, _sides, _threads = ctypes.c_void_p, (ctypes.c_int64,) * 4, ctypes.c_int
FORWARD = (_pointer, _pointer, _pointer, _pointer, ctypes.c_double, *_sides, _pointer, _threads)
BACKWARD = (_pointer, _pointer, *_sides, _pointer, _pointer, _pointer, _threads)


@cache
def native_passes() -> dict[tuple[str, torch.dtype], Callable[..., None]] | None:
    """Return the passes over maps, {("forward" or "backward", dtype): pass}; None where they cannot be compiled."""
    library = load_native(SOURCE)
    if library is None:
        return None
    passes: dict[tuple[str, torch.dtype], Callable[..., None]] = {}
    for dtype in DTYPES:
        for name, types in (("forward", FORWARD), ("backward", BACKWARD)):
            function = library[f"{name}_{str(dtype).removeprefix('torch.')}"]
            function.argtypes, function.restype = types, None
            passes[name, dtype] = function
    return passes


def with_native_blocks(network: N) -> N:
    """Return a network with the same parameters, every fitting sequence of layers as one step.

    Names of parameters differ. The network itself, unchanged, where it is not on a CPU, nothing fits, or nothing can be
    compiled.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return network
    twin = twin_of(network)
    replaced = [_replace(layers) for layers in twin.modules() if isinstance(layers, nn.Sequential)]
    return twin if any(replaced) and native_passes() is not None else network


def _replace(layers: nn.Sequential) -> bool:
    starts = [start for start in range(len(layers) - 3) if fits(*layers[start : start + 4])]
    for start in starts:
        layers[start] = NativeBlock(cast(nn.Conv2d, layers[start]), cast(nn.GroupNorm, layers[start + 1]))
        for after in range(start + 1, start + 4):
            layers[after] = nn.Identity()
    return bool(starts)


def fits(conv: nn.Module, norm: nn.Module, activation: nn.Module, pool: nn.Module) -> bool:
    """Return whether four layers after one another are what a `NativeBlock` computes."""
    if not (isinstance(conv, nn.Conv2d) and is_norm_relu_pool(norm, activation, pool)):
        return False
    is_plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return is_plain and conv.out_channels == cast(nn.GroupNorm, norm).num_channels


class NativeBlock(nn.Module):
    """Convolution, instance norm, ReLU and pooling: (B, C, H, W) -> (B, D, H' // 2, W' // 2), in channels-last memory.

    In the precision of the images, or of autocast; sums over maps are float32, of float64 maps float64. It has a first
    derivative only, once for each pass, and cannot be traced.

    Args:
        conv: with zero padding, whose parameters are shared.
        norm: group norm with weights and one group per channel, whose parameters are shared.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        self.geometry: Geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)

    def forward(self, images: Tensor) -> Tensor:
        """Return the pooled maps; raises TypeError for dtypes and devices that it has no code for."""
        conv, norm = self.conv, self.norm
        weight, bias = norm.weight.contiguous(), norm.bias.contiguous()
        pooled: Tensor = _Block.apply(images, conv.weight, conv.bias, weight, bias, norm.eps, self.geometry)
        return pooled


class _Context(torch.autograd.function.FunctionCtx):
    """What the forward pass hands to the backward pass."""

    geometry: Geometry | None
    needs_input_grad: tuple[bool, ...]
    bias_like: Tensor | None
    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor]


class _Block(torch.autograd.Function):
    """Both passes; nobody else sees the maps between convolution and norm, so that their memory is used twice."""

    @staticmethod
    def forward(
        ctx: _Context,
        images: Tensor,
        kernel: Tensor,
        kernel_bias: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        geometry: Geometry,
    ) -> Tensor:
        if images.dtype == torch.float32 and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            images, kernel = images.to(dtype), kernel.to(dtype)
        maps = F.conv2d(images, kernel, None, *geometry).contiguous(memory_format=torch.channels_last)
        _check(maps, weight, bias)
        batch, channels, height, width = maps.shape
        pooled = torch.empty(
            (batch, channels, height // 2, width // 2), dtype=maps.dtype, memory_format=torch.channels_last
        )
        kept = weight.new_empty(4, batch, channels)
        parameters = (weight.data_ptr(), bias.data_ptr(), eps)
        sides = (batch, height, width, channels)
        _run("forward", maps.dtype, maps.data_ptr(), pooled.data_ptr(), *parameters, *sides, kept.data_ptr())
        ctx.save_for_backward(images, kernel, maps, kept)
        ctx.geometry, ctx.bias_like = geometry, None if kernel_bias is None else kernel_bias.detach()
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, kernel, maps, kept = ctx.saved_tensors
        if ctx.geometry is None:
            raise RuntimeError("a native block has one backward pass for each forward pass; run it forward again")
        batch, channels, height, width = maps.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        by_norm = kept.new_empty(2, batch, channels)
        found = (kept.data_ptr(), by_norm[0].data_ptr(), by_norm[1].data_ptr())
        _run("backward", maps.dtype, maps.data_ptr(), gradient.data_ptr(), batch, height, width, channels, *found)
        stride, padding, dilation, groups = ctx.geometry
        ctx.geometry = None
        geometry = (stride, padding, dilation, False, (0, 0), groups)
        wanted = (*ctx.needs_input_grad[:2], False)
        by_images, by_kernel, _ = torch.ops.aten.convolution_backward(maps, images, kernel, None, *geometry, wanted)
        by_kernel_bias = None if ctx.bias_like is None else torch.zeros_like(ctx.bias_like)
        return by_images, by_kernel, by_kernel_bias, *by_norm.sum(1), None, None


def _check(maps: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Refuse what native code, which is handed addresses, would read wrongly."""
    found = [tensor.dtype for tensor in (maps, weight, bias)]
    if found[1:] != [DTYPES.get(maps.dtype)] * 2 or maps.device.type != "cpu":
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in found)
        raise TypeError(
            "a native block takes float32, float64 or bfloat16 maps on a CPU, with float32 (or float64) parameters; "
            f"got {kinds} on {maps.device}; pass the network itself"
        )
    if min(maps.shape[2:]) < 2:
        raise ValueError(f"pooling needs maps of at least 2x2, got {maps.shape[2]}x{maps.shape[3]}; use larger images")


def _run(name: str, dtype: torch.dtype, *arguments: float) -> None:
    passes = native_passes()
    assert passes is not None, "a native block was made where native code cannot be compiled"
    passes[name, dtype](*arguments, torch.get_num_threads())
