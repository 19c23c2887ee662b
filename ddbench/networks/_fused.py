"""Instance norm, ReLU and 2x2 average pooling as one step whose gradient passes over the maps as rarely as it can.

The bias of a convolution before it is left out: the norm takes it away, and its gradient costs a pass over the maps.

For compiled code: what torch derives for group norm stores the rectified maps and several gradients of their size. Here
the backward pass keeps the conv's output alone and computes the rest anew. Run eagerly it is slower than the layers.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


class _Context(torch.autograd.function.FunctionCtx):
    """What the forward pass hands to the backward pass."""

    eps: float
    saved_tensors: tuple[Tensor, Tensor, Tensor]


class _NormReluPool(torch.autograd.Function):
    """Both passes in operations of torch, so that a gradient of the gradient is right too."""

    @staticmethod
    def forward(maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        scale, shift, _, _ = _affine(maps, weight, bias, eps)
        return _total([torch.relu(corner * scale + shift) for corner in _corners(maps)]) / 4

    @staticmethod
    def setup_context(ctx: _Context, inputs: tuple[Tensor, Tensor, Tensor, float], output: Tensor) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        maps, weight, bias = ctx.saved_tensors
        # A compiler merges this with the same of the forward pass; statistics saved there would count as constants in
        # a second derivative.
        scale, shift, mean, inverse_std = _affine(maps, weight, bias, ctx.eps)
        quarter, corners = gradient / 4, _corners(maps)
        # Summed corner by corner, so that the rectified gradient is never stored at the maps' size.
        rectified = [torch.where(corner * scale + shift > 0, quarter, 0) for corner in corners]
        by_bias = _sum(_total(rectified))
        products = [part * (corner - mean) for part, corner in zip(rectified, corners, strict=True)]
        by_weight = _sum(_total(products)) * inverse_std
        places = maps.shape[2] * maps.shape[3]
        slope = inverse_std * by_weight / places
        spread = torch.where(maps * scale + shift > 0, _spread(quarter, maps), 0)
        by_maps = scale * (spread - by_bias / places - (maps - mean) * slope)
        return by_maps, by_weight.sum((0, 2, 3)), by_bias.sum((0, 2, 3)), None


def _affine(maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return scale and shift of the norm of (B, C, H, W) maps, and their mean and 1 / std, each (B, C, 1, 1)."""
    places = maps.shape[2] * maps.shape[3]
    # One pass over the maps. What is subtracted first lies so near the mean that squares lose no digits that count: at
    # most as many as the maps have rows, times the rounding error.
    near = maps[:, :, :1].mean((2, 3), keepdim=True)
    beside = _sum(maps - near) / places
    variance = _sum((maps - near).square()) / places - beside.square()
    mean, inverse_std = near + beside, torch.rsqrt(variance.clamp_min(0) + eps)
    scale = inverse_std * weight.view(1, -1, 1, 1)
    return scale, bias.view(1, -1, 1, 1) - mean * scale, mean, inverse_std


def _sum(maps: Tensor) -> Tensor:
    """Return the sums (B, C, 1, 1) over (B, C, H, W) maps, row by row: in channels-last memory a row stays in cache."""
    return maps.sum(3, keepdim=True).sum(2, keepdim=True)


def _corners(maps: Tensor) -> list[Tensor]:
    """Return the four (B, C, H // 2, W // 2) corners of 2x2 places; pooling leaves out an odd last row and column."""
    height, width = (side // 2 * 2 for side in maps.shape[2:])
    return [maps[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]


def _total(corners: list[Tensor]) -> Tensor:
    first, second, third, fourth = corners
    return first + second + third + fourth


def _spread(pooled: Tensor, maps: Tensor) -> Tensor:
    """Return (B, C, H // 2, W // 2) values repeated over 2x2 places each, (B, C, H, W); zero where none was pooled."""
    batch, channels, height, width = pooled.shape
    repeated = pooled[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    spread = repeated.reshape(batch, channels, 2 * height, 2 * width)
    missing = (0, maps.shape[3] - 2 * width, 0, maps.shape[2] - 2 * height)
    return F.pad(spread, missing) if any(missing) else spread


class NormReluPool(nn.Module):
    """Instance norm, ReLU and 2x2 average pooling: (B, C, H, W) -> (B, C, H // 2, W // 2).

    Args:
        norm: group norm with weights and one group per channel, whose parameters are shared.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps, in the precision of the norm's parameters."""
        maps = maps.to(self.weight.dtype)  # bfloat16 sums would lose digits
        pooled: Tensor = _NormReluPool.apply(maps, self.weight, self.bias, self.eps)
        return pooled


class ConvBeforeNorm(nn.Module):
    """A convolution whose bias, which an instance norm takes away again, is not added; its gradient is exactly zero.

    Args:
        conv: whose parameters are shared.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._arguments: Any = (conv.stride, conv.padding, conv.dilation, conv.groups)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps of (B, C, H, W) images, less a constant per channel."""
        return F.conv2d(images, self.weight, None, *self._arguments)


def fuse(network: N) -> N:
    """Return a network with the same parameters under the same names, every fitting sequence of layers as one step.

    Layers of any other kind stay as they are; the given network is not changed.
    """
    twin = twin_of(network)
    for layers in twin.modules():
        if isinstance(layers, nn.Sequential):
            _fuse_layers(layers)
    return twin


def twin_of(network: N) -> N:
    """Return a copy of a network's structure with the parameters and buffers of the network itself."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def _fuse_layers(layers: nn.Sequential) -> None:
    """Put each fitting sequence's step in its first place, so that the parameters keep their names."""
    for start in range(len(layers) - 2):
        if is_norm_relu_pool(*(layers[start + offset] for offset in range(3))):
            layers[start] = NormReluPool(cast(nn.GroupNorm, layers[start]))
            layers[start + 1] = layers[start + 2] = nn.Identity()
            before = layers[start - 1] if start else None
            if isinstance(before, nn.Conv2d) and before.padding_mode == "zeros":
                layers[start - 1] = ConvBeforeNorm(before)


def is_norm_relu_pool(norm: nn.Module, activation: nn.Module, pool: nn.Module) -> bool:
    """Return whether three layers after one another are what the step computes."""
    if not (isinstance(norm, nn.GroupNorm) and isinstance(activation, nn.ReLU) and isinstance(pool, nn.AvgPool2d)):
        return False
    halves = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.divisor_override)
    has_both = norm.affine and norm.bias is not None
    return halves == (2, 2, 0, False, None) and has_both and norm.num_groups == norm.num_channels
