"""Networks whose blocks are one step each on a CPU: convolution, instance norm, ReLU and 2x2 average pooling.

Needs no compiling of the network around it: a step of a student, or of a match of gradients, is as fast as under
torch's compiler or faster, without the ten seconds and more that compiling takes. The convolution's bias, which the
norm takes away again, is not added; its gradient is exactly zero.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ddbench.engine.native.block import Block, Geometry, native_passes

N = TypeVar("N", bound=nn.Module)


def with_native_blocks(network: N) -> N:
    """Return a network with the same parameters, every fitting sequence of layers as one step.

    The parameters are in the same order under other names. The network itself, unchanged, where it is not on a CPU,
    nothing fits, or nothing can be compiled.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return network
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
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
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.GroupNorm) and isinstance(activation, nn.ReLU)):
        return False
    is_plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and conv.groups == 1
    has_both = norm.affine and norm.bias is not None
    is_instance_norm = has_both and norm.num_groups == norm.num_channels == conv.out_channels
    return is_plain and is_instance_norm and _halves(pool)


def _halves(pool: nn.Module) -> bool:
    if not isinstance(pool, nn.AvgPool2d):
        return False
    options = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.divisor_override)
    return options == (2, 2, 0, False, None)


class NativeBlock(nn.Module):
    """Convolution, instance norm, ReLU and pooling: (B, C, H, W) -> (B, D, H' // 2, W' // 2), in channels-last memory.

    In the precision of the images, or of autocast; sums over maps are float32, of float64 maps float64. Each pass has
    one backward pass, which may be differentiated once itself; it cannot be traced or transformed.

    Args:
        conv: with zero padding and one group, whose parameters are shared.
        norm: group norm with weights and one group per channel, whose parameters are shared.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        self.geometry: Geometry = (conv.stride, conv.padding, conv.dilation)

    def forward(self, images: Tensor) -> Tensor:
        """Return the pooled maps; raises TypeError for dtypes and devices that it has no code for."""
        kernel, norm = self.conv.weight, self.norm
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            if images.dtype in (torch.float32, dtype):
                images, kernel = images.to(dtype), kernel.to(dtype)
        weight, bias = norm.weight.contiguous(), norm.bias.contiguous()
        pooled: Tensor = Block.apply(images, kernel, self.conv.bias, weight, bias, norm.eps, self.geometry)[0]
        return pooled
