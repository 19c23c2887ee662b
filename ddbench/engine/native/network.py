"""Networks whose blocks are one step each on a CPU: convolution, instance norm, and maybe ReLU and average pooling.

Needs no compiling of the network around it: a step of a student, or of a match of gradients, is as fast as under
torch's compiler or faster, without the ten seconds and more that compiling takes. The convolution's bias, which the
norm takes away again, is not added; its gradient is exactly zero.
"""

from __future__ import annotations

import copy
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from ddbench.engine.native.block import Block, Form, native_passes

N = TypeVar("N", bound=nn.Module)
L = TypeVar("L", bound=nn.Module)


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
    """Put native blocks in the place of layers that fit; return whether any do."""
    places = [place for place, layer in enumerate(layers) if not isinstance(layer, nn.Identity)]
    found = False
    while places:
        block = _block_of([layers[place] for place in places[:4]])
        for place, layer in zip(places, block, strict=False):
            layers[place] = layer
        found = found or bool(block)
        places = places[len(block) or 1 :]
    return found


def _block_of(layers: list[nn.Module]) -> list[nn.Module]:
    """Return what replaces the first of up to four layers, one for one; nothing where they do not fit.

    A 1x1 convolution that is pooled before its norm is given pooled images: the same sums, of a quarter of the places.
    """
    conv, *after = layers
    if not _is_exactly(conv, nn.Conv2d) or not _is_plain(conv) or not after:
        return []
    if _halves(after[0]) and len(after) > 1 and _is_pointwise(conv) and _is_instance_norm(after[1], conv):
        return [after[0], NativeBlock(conv, after[1], rectifies=False, pools=False), nn.Identity()]
    norm = after[0]
    if not _is_instance_norm(norm, conv):
        return []
    rectifies = len(after) > 1 and _is_exactly(after[1], nn.ReLU)
    pools = rectifies and len(after) > 2 and _halves(after[2])
    block = NativeBlock(conv, norm, rectifies=rectifies, pools=pools)
    return [block, *(nn.Identity() for _ in range(1 + rectifies + pools))]


def _is_exactly(layer: nn.Module, kind: type[L]) -> TypeGuard[L]:
    """Return whether a layer does what its kind does, no more: no forward pass of its own, and nobody hooked to it."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return isinstance(layer, kind) and type(layer).forward is kind.forward and not any(hooks)


def _is_plain(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and conv.groups == 1


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))


def _is_instance_norm(norm: nn.Module, conv: nn.Conv2d) -> TypeGuard[nn.GroupNorm]:
    if not _is_exactly(norm, nn.GroupNorm) or not norm.affine or norm.bias is None:
        return False
    return norm.num_groups == norm.num_channels == conv.out_channels


def _halves(pool: nn.Module) -> bool:
    if not _is_exactly(pool, nn.AvgPool2d):
        return False
    options = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.divisor_override)
    return options == (2, 2, 0, False, None)


class NativeBlock(nn.Module):
    """Convolution, instance norm, maybe ReLU, maybe 2x2 average pooling: (B, C, H, W) -> (B, D, H', W'), channels-last.

    In the precision of the images, or of autocast; sums over maps are float32, of float64 maps float64. Each pass has
    one backward pass, which may be differentiated once itself; it cannot be traced or transformed.

    Args:
        conv: with zero padding and one group, whose parameters are shared.
        norm: group norm with weights and one group per channel, whose parameters are shared.
        rectifies: whether a ReLU follows the norm.
        pools: whether pooling follows the ReLU; not without it.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm, *, rectifies: bool = True, pools: bool = True) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        self.form = Form((conv.stride, conv.padding, conv.dilation), rectifies, pools)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's maps; raises TypeError for dtypes and devices that it has no code for."""
        kernel, norm = self.conv.weight, self.norm
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            if images.dtype in (torch.float32, dtype):
                images, kernel = images.to(dtype), kernel.to(dtype)
        weight, bias = norm.weight.contiguous(), norm.bias.contiguous()
        pooled: Tensor = Block.apply(images, kernel, self.conv.bias, weight, bias, norm.eps, self.form)[0]
        return pooled
