"""DiffFit: fine-tuning a diffusion transformer by its biases, its class embedding and new scale factors.

Paper: Xie et al., "DiffFit: Unlocking Transferability of Large Diffusion Models via Simple Parameter-Efficient
Fine-Tuning", ICCV 2023 (arXiv 2304.06648).
Checked against: vimar-gu/MinimaxDiffusion, whose model scales queries, keys and values, the attention's projection and
both residual branches in the first half of the blocks.
Differs from it: parameters are selected by what they are, not by names that contain "norm", which in diffusers' class
would select the large modulation layers (40 % of all parameters).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.diffusion.denoiser import Denoiser

Trainable = Literal["difffit", "full"]


class ScaledLinear(nn.Module):
    """A linear layer whose output is multiplied by one or more learned vectors.

    Args:
        linear: the layer, whose parameters stay its own.
        num_scales: how many vectors, each (out_features,) and one at the start.
    """

    def __init__(self, linear: nn.Linear, num_scales: int = 1) -> None:
        super().__init__()
        self.linear = linear
        weight = linear.weight
        self.gammas = nn.Parameter(torch.ones(num_scales, len(weight), device=weight.device, dtype=weight.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scaled output, (..., out_features)."""
        return F.linear(inputs, self.linear.weight, self.linear.bias) * self.gammas.prod(0)

    def fold(self) -> nn.Linear:
        """Return the plain linear layer with the same outputs, its weights changed in place."""
        scale = self.gammas.detach().prod(0)
        self.linear.weight.data.mul_(scale[:, None])
        if self.linear.bias is not None:
            self.linear.bias.data.mul_(scale)
        return self.linear


def make_trainable(denoiser: Denoiser, trainable: Trainable) -> dict[str, nn.Parameter]:
    """Freeze a denoiser but for what is to be trained, and return that by name.

    With `difffit` scale factors are put into the first half of the blocks.
    """
    if trainable == "difffit":
        insert_gammas(denoiser)
    chosen = dict(denoiser.named_parameters())
    if trainable == "difffit":
        chosen = {name: parameter for name, parameter in chosen.items() if _is_difffit(denoiser, name)}
    for parameter in denoiser.parameters():
        parameter.requires_grad_(False)
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def insert_gammas(denoiser: Denoiser) -> None:
    """Put scale factors of one into the first half of the blocks; outputs stay the same."""
    for owner, name, num_scales in _places(denoiser):
        setattr(owner, name, ScaledLinear(getattr(owner, name), num_scales))


def fold_gammas(denoiser: Denoiser) -> None:
    """Multiply the scale factors into the layers they scale: outputs stay the same, and the model is a plain DiT."""
    for owner, name, _ in _places(denoiser):
        scaled = getattr(owner, name)
        if isinstance(scaled, ScaledLinear):
            setattr(owner, name, scaled.fold())


def _places(denoiser: Denoiser) -> Iterator[tuple[Any, str, int]]:
    """Yield the owner, the attribute and the number of scale factors of each scaled layer."""
    blocks = cast("list[Any]", denoiser.transformer.transformer_blocks)
    for block in blocks[: len(blocks) // 2]:
        for name in ("to_q", "to_k", "to_v"):
            yield block.attn1, name, 1
        yield block.attn1.to_out, "0", 2  # the projection's own and its residual branch's
        yield block.ff.net, "2", 1


def _is_difffit(denoiser: Denoiser, name: str) -> bool:
    owner, _, kind = name.rpartition(".")
    if kind in ("bias", "gammas") or owner == "embedder.class_embedder.embedding_table":
        return True
    return isinstance(denoiser.get_submodule(owner), nn.LayerNorm)
