"""The original DiT's forward pass, written down naively from the paper and the layout of its state dict; small models.

The state dict's names are those of facebookresearch/DiT; the code is our own.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def positions(width, grid):
    """Sine and cosine of each patch's column, then of its row, (1, grid**2, width) float32."""
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    rates = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    parts = []
    for place in (columns, rows):
        angles = place.flatten()[:, None] * rates
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts, 1)[None].float()


def random_state(*, width=16, depth=3, patch=2, channels=2, classes=5, side=8, learns_variance=True, seed=0):
    """A state dict with random weights everywhere, so that nothing is hidden by a zero."""
    generator = torch.Generator().manual_seed(seed)
    out = patch**2 * channels * (2 if learns_variance else 1)
    linears = {"t_embedder.mlp.0": (width, 256), "t_embedder.mlp.2": (width, width)}
    for block in range(depth):
        linears |= {
            f"blocks.{block}.attn.qkv": (3 * width, width),
            f"blocks.{block}.attn.proj": (width, width),
            f"blocks.{block}.mlp.fc1": (4 * width, width),
            f"blocks.{block}.mlp.fc2": (width, 4 * width),
            f"blocks.{block}.adaLN_modulation.1": (6 * width, width),
        }
    linears |= {"final_layer.linear": (out, width), "final_layer.adaLN_modulation.1": (2 * width, width)}
    shapes = {"x_embedder.proj.weight": (width, channels, patch, patch), "x_embedder.proj.bias": (width,)}
    shapes["y_embedder.embedding_table.weight"] = (classes + 1, width)
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    state = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    return {"pos_embed": positions(width, side // patch)} | state


def original_forward(state, noisy, timesteps, labels, *, heads, shift=0, eps=1e-6, apart=False):
    """The raw output (B, C or 2C, H, W) in float64; `shift` and `eps` are diffusers' deviations, for comparison.

    `apart` multiplies by queries, keys and values one after the other and calls torch's attention, as diffusers does:
    the same formula, rounded alike.
    """
    state = {name: tensor.double() for name, tensor in state.items()}

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def modulated(x, offset, scale):
        return F.layer_norm(x, x.shape[-1:], eps=eps) * (1 + scale[:, None]) + offset[:, None]

    def attention(name, x):
        batch, tokens, width = x.shape
        if apart:
            kernels = zip(state[f"{name}.qkv.weight"].chunk(3), state[f"{name}.qkv.bias"].chunk(3), strict=True)
            parts = [F.linear(x, *kernel).view(batch, tokens, heads, -1).transpose(1, 2) for kernel in kernels]
            attended = F.scaled_dot_product_attention(*parts)
            return linear(f"{name}.proj", attended.transpose(1, 2).reshape(x.shape))
        queries, keys, values = linear(f"{name}.qkv", x).view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(2, 3) / math.sqrt(width // heads)).softmax(-1)
        return linear(f"{name}.proj", (weights @ values).transpose(1, 2).reshape(x.shape))

    rates = torch.exp(-math.log(10_000) * torch.arange(128, dtype=torch.float32) / (128 - shift))
    angles = timesteps[:, None].float() * rates
    times = torch.cat([angles.cos(), angles.sin()], 1).double()
    times = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", times)))
    condition = F.silu(times + state["y_embedder.embedding_table.weight"][labels])

    patches = state["x_embedder.proj.weight"]
    patch = patches.shape[-1]
    tokens = F.conv2d(noisy.double(), patches, state["x_embedder.proj.bias"], stride=patch).flatten(2).transpose(1, 2)
    tokens = tokens + state["pos_embed"]
    for block in range(sum(name.endswith("attn.qkv.weight") for name in state)):
        name = f"blocks.{block}"
        parts = linear(f"{name}.adaLN_modulation.1", condition).chunk(6, 1)
        tokens = tokens + parts[2][:, None] * attention(f"{name}.attn", modulated(tokens, *parts[:2]))
        hidden = F.gelu(linear(f"{name}.mlp.fc1", modulated(tokens, *parts[3:5])), approximate="tanh")
        tokens = tokens + parts[5][:, None] * linear(f"{name}.mlp.fc2", hidden)
    last = modulated(tokens, *linear("final_layer.adaLN_modulation.1", condition).chunk(2, 1))
    tokens = linear("final_layer.linear", last)
    batch, grid = len(tokens), noisy.shape[-1] // patch
    pixels = tokens.view(batch, grid, grid, patch, patch, -1)  # row, column, row and column in the patch, channel
    return pixels.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, *noisy.shape[2:])
