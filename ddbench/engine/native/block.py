"""A block of layers with its first and second derivative: torch's convolutions, and native passes over their outputs.

`Block` keeps the convolution's output, the maps, and writes the maps' gradient over them where no second derivative
is asked for. Where one is (`create_graph=True`), its backward pass is `BlockGradient`, a function with a derivative of
its own, whose part by the maps comes back to `Block` as the gradient of its second output. Formulas:
`norm_relu_pool.cpp`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ddbench.engine.native.compiler import load_native

Geometry = tuple[Any, Any, Any]  # stride, padding, dilation


@dataclass(frozen=True)
class Form:
    """A block: the convolution's geometry, and what follows the norm: nothing, a ReLU, or a ReLU and 2x2 pooling.

    Raises:
        ValueError: pooling without a ReLU, for which there is no code.
    """

    geometry: Geometry
    rectifies: bool = True
    pools: bool = True

    def __post_init__(self) -> None:
        if self.pools and not self.rectifies:
            raise ValueError("a native block pools what a ReLU let through; give rectifies=True, or pools=False")

    def pooled_shape(self, maps: Tensor) -> tuple[int, int, int, int]:
        """Return the shape of what the (B, D, H, W) maps become."""
        batch, height, width, channels = _sides(maps)
        side = 2 if self.pools else 1
        return batch, channels, height // side, width // side


SOURCE = Path(__file__).with_name("norm_relu_pool.cpp")
# Of maps, and of the sums over them and the norm's parameters.
DTYPES = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}

_pointer, _four_sides, _form, _threads = ctypes.c_void_p, (ctypes.c_int64,) * 4, (ctypes.c_int,) * 2, ctypes.c_int
PASSES: dict[str, tuple[Any, ...]] = {
    "forward": (*(_pointer,) * 4, ctypes.c_double, *_four_sides, _pointer, *_form, _threads),
    "backward": (*(_pointer,) * 3, ctypes.c_int, *_four_sides, *(_pointer,) * 3, *_form, _threads),
    "second": (*(_pointer,) * 5, *_four_sides, *(_pointer,) * 3, *_form, _threads),
}


@cache
def native_passes() -> dict[tuple[str, torch.dtype], Callable[..., None]] | None:
    """Return the passes over maps, {(name in `PASSES`, dtype): pass}; None where they cannot be compiled."""
    library = load_native(SOURCE)
    if library is None:
        return None
    passes: dict[tuple[str, torch.dtype], Callable[..., None]] = {}
    for dtype in DTYPES:
        for name, types in PASSES.items():
            function = library[f"{name}_{str(dtype).removeprefix('torch.')}"]
            function.argtypes, function.restype = types, None
            passes[name, dtype] = function
    return passes


@dataclass(eq=False)
class Kept:
    """What derivatives need of a forward pass besides tensors with gradients.

    Attributes:
        form: of the block.
        statistics: (4, B, D) of the maps: scale, shift, mean and 1 / standard deviation.
        is_spent: whether the maps' memory has been written over by their gradient.
    """

    form: Form
    statistics: Tensor
    is_spent: bool = False

    def check(self) -> None:
        """Refuse to read maps that are no longer there."""
        if self.is_spent:
            raise RuntimeError("a native block has one backward pass for each forward pass; run it forward again")

    def norm_back(self, maps: Tensor, gradient: Tensor, by_maps: Tensor, *, adds: bool) -> Tensor:
        """Write the gradient by the maps, which may be in their place, or add it; return the norm's, (2, D)."""
        found = self.statistics.new_empty(2, *self.statistics.shape[1:])
        inputs = (maps.data_ptr(), gradient.data_ptr(), by_maps.data_ptr(), adds)
        outputs = (self.statistics.data_ptr(), found[0].data_ptr(), found[1].data_ptr())
        _run("backward", self.form, maps, *inputs, *_sides(maps), *outputs)
        return found.sum(1)

    def convolve_back(
        self, by_maps: Tensor, images: Tensor, kernel: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients by images and by kernel, those that are wanted."""
        geometry = (*self.form.geometry, False, (0, 0), 1)  # not transposed, one group
        found = torch.ops.aten.convolution_backward(by_maps, images, kernel, None, *geometry, (*wanted, False))
        return found[0], found[1]


class _Context(torch.autograd.function.FunctionCtx):
    """What a pass hands to its backward pass."""

    kept: Kept
    bias_like: Tensor | None
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]


class Block(torch.autograd.Function):
    """(images, kernel, kernel's bias, norm's weight and bias, eps, form) -> pooled maps, and the maps.

    Nobody but `BlockGradient` may look at the second output, so that its memory can be used twice.
    """

    @staticmethod
    def forward(
        ctx: _Context,
        images: Tensor,
        kernel: Tensor,
        kernel_bias: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        form: Form,
    ) -> tuple[Tensor, Tensor]:
        """Return the pooled maps, and the maps as the norm was given them."""
        maps = _convolve(images, kernel, form.geometry)
        _check(form, maps, weight, bias)
        pooled = torch.empty(form.pooled_shape(maps), dtype=maps.dtype, memory_format=torch.channels_last)
        ctx.kept = Kept(form, weight.new_empty(4, *maps.shape[:2]))
        parameters = (weight.data_ptr(), bias.data_ptr(), eps)
        outputs = (*_sides(maps), ctx.kept.statistics.data_ptr())
        _run("forward", form, maps, maps.data_ptr(), pooled.data_ptr(), *parameters, *outputs)
        ctx.save_for_backward(images, kernel, weight, maps)
        ctx.bias_like = None if kernel_bias is None else kernel_bias.detach()
        ctx.set_materialize_grads(False)
        return pooled, maps

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor | None, of_maps: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients by what was given; of another function, where a graph of them is asked for."""
        images, kernel, weight, maps = ctx.saved_tensors
        ctx.kept.check()
        gradient = maps.new_zeros(ctx.kept.form.pooled_shape(maps)) if gradient is None else gradient
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1])
        by_kernel_bias = None if ctx.bias_like is None else torch.zeros_like(ctx.bias_like)
        if torch.is_grad_enabled():
            if of_maps is not None:
                raise RuntimeError("a native block has two derivatives, no third; use the network itself")
            by = BlockGradient.apply(images, kernel, weight, maps, gradient, ctx.kept, wanted)
            return by[0], by[1], by_kernel_bias, by[2], by[3], None, None
        by_maps = maps if of_maps is None else of_maps.contiguous(memory_format=torch.channels_last)
        ctx.kept.is_spent = of_maps is None
        by_norm = ctx.kept.norm_back(maps, gradient, by_maps, adds=of_maps is not None)
        by_images, by_kernel = ctx.kept.convolve_back(by_maps, images, kernel, wanted)
        return by_images, by_kernel, by_kernel_bias, *by_norm, None, None


class BlockGradient(torch.autograd.Function):
    """(images, kernel, norm's weight, maps, gradient by the pooled maps, ...) -> what `Block.backward` returns."""

    @staticmethod
    def forward(
        ctx: _Context,
        images: Tensor,
        kernel: Tensor,
        weight: Tensor,
        maps: Tensor,
        gradient: Tensor,
        kept: Kept,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients by images, kernel, weight and bias."""
        by_maps = torch.empty_like(maps)
        by_norm = kept.norm_back(maps, gradient, by_maps, adds=False)
        ctx.kept = kept
        ctx.save_for_backward(images, kernel, weight, maps, gradient, by_maps)
        ctx.set_materialize_grads(False)
        return *kept.convolve_back(by_maps, images, kernel, wanted), *by_norm

    @staticmethod
    @once_differentiable
    def backward(
        ctx: _Context,
        of_images: Tensor | None,
        of_kernel: Tensor | None,
        of_weight: Tensor | None,
        of_bias: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """Return the second derivatives."""
        images, kernel, weight, maps, gradient, by_maps = ctx.saved_tensors
        kept = ctx.kept
        kept.check()
        pairs = [(x, k) for x, k in ((of_images, kernel), (images, of_kernel)) if x is not None and k is not None]
        cotangent = _convolve_all(pairs, kept.form.geometry) if pairs else torch.zeros_like(maps)
        by_gradient, by_weight = torch.empty_like(gradient), torch.empty_like(kept.statistics[0])
        of_norm = [torch.zeros_like(weight) if of is None else of.contiguous() for of in (of_weight, of_bias)]
        inputs = (maps.data_ptr(), gradient.data_ptr(), cotangent.data_ptr(), *(of.data_ptr() for of in of_norm))
        outputs = (kept.statistics.data_ptr(), by_gradient.data_ptr(), by_weight.data_ptr())
        _run("second", kept.form, maps, *inputs, *_sides(maps), *outputs)
        by_images = by_kernel = None
        if of_kernel is not None and ctx.needs_input_grad[0]:
            by_images, _ = kept.convolve_back(by_maps, images, of_kernel, (True, False))
        if of_images is not None and ctx.needs_input_grad[1]:
            _, by_kernel = kept.convolve_back(by_maps, of_images, kernel, (False, True))
        return by_images, by_kernel, by_weight.sum(0), cotangent, by_gradient, None, None


def _convolve(images: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    return F.conv2d(images, kernel, None, *geometry).contiguous(memory_format=torch.channels_last)


def _convolve_all(pairs: list[tuple[Tensor, Tensor]], geometry: Geometry) -> Tensor:
    """Return the sum of the maps of (images, kernel) pairs, in one convolution over the channels of all."""
    # Autocast may surround a backward pass whose forward pass it did not, and would turn float32 maps into others.
    with torch.autocast("cpu", enabled=False):
        if len(pairs) == 1:
            return _convolve(*pairs[0], geometry)
        images = torch.cat([images.contiguous(memory_format=torch.channels_last) for images, _ in pairs], 1)
        return _convolve(images, torch.cat([kernel for _, kernel in pairs], 1), geometry)


def _check(form: Form, maps: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Refuse what native code, which is handed addresses, would read wrongly."""
    found = [tensor.dtype for tensor in (maps, weight, bias)]
    if found[1:] != [DTYPES.get(maps.dtype)] * 2 or maps.device.type != "cpu":
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in found)
        raise TypeError(
            "a native block takes float32, float64 or bfloat16 maps on a CPU, with float32 (or float64) parameters; "
            f"got {kinds} on {maps.device}; pass the network itself"
        )
    if form.pools and min(maps.shape[2:]) < 2:
        raise ValueError(f"pooling needs maps of at least 2x2, got {maps.shape[2]}x{maps.shape[3]}; use larger images")


def _sides(maps: Tensor) -> tuple[int, int, int, int]:
    batch, channels, height, width = maps.shape
    return batch, height, width, channels


def _run(name: str, form: Form, maps: Tensor, *arguments: float) -> None:
    passes = native_passes()
    assert passes is not None, "a native block was made where native code cannot be compiled"
    passes[name, maps.dtype](*arguments, form.pools, form.rectifies, torch.get_num_threads())
