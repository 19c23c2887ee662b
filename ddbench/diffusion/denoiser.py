"""The diffusion transformer: diffusers' DiT, computing what the original DiT computes.

Paper: Peebles, Xie, "Scalable Diffusion Models with Transformers", ICCV 2023 (arXiv 2212.09748).
Differs from diffusers' own use of its class, so that original weights give the original's outputs: one embedder of
timestep and label for all blocks instead of a copy in each, frequencies without shift, layer norms with eps 1e-6, and
no label dropout inside the network (labels are replaced by the null class once per sample, by whoever trains).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.embeddings import CombinedTimestepLabelEmbeddings, Timesteps
from torch import Tensor, nn

NORM_EPS = 1e-6


@dataclass(frozen=True)
class DenoiserShape:
    """Size of a diffusion transformer.

    Attributes:
        image_size: side of the noisy input, in pixels or latent pixels.
        channels: of the input, C.
        num_classes: K; class id K is the null class.
        patch_size: side of a patch, which makes one token.
        width: of the tokens; a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: attention heads.
        learns_variance: C more output channels say how the reverse variance interpolates.
    """

    image_size: int
    channels: int
    num_classes: int
    patch_size: int
    width: int
    depth: int
    heads: int
    learns_variance: bool = False


DIT_XL_2 = DenoiserShape(32, 4, 1000, patch_size=2, width=1152, depth=28, heads=16, learns_variance=True)


class Denoiser(nn.Module):
    """Predicts the noise of (B, C, H, W) inputs; `forward` gives the raw output, (B, C or 2C, H, W).

    Args:
        transformer: from diffusers; its blocks' embedders are taken out, all but the first being copies.
    """

    def __init__(self, transformer: DiTTransformer2DModel) -> None:
        super().__init__()
        blocks = cast("list[Any]", transformer.transformer_blocks)
        self.embedder: CombinedTimestepLabelEmbeddings = blocks[0].norm1.emb
        self.embedder.time_proj = Timesteps(num_channels=256, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embedder.class_embedder.dropout_prob = 0.0
        for block in blocks:
            block.norm1.emb = _Given()
            block.norm1.norm.eps = block.norm3.eps = NORM_EPS
        self.transformer = transformer

    @property
    def shape(self) -> DenoiserShape:
        """Its size."""
        config: Any = self.transformer.config
        return DenoiserShape(
            image_size=config.sample_size,
            channels=config.in_channels,
            num_classes=self.embedder.class_embedder.num_classes,
            patch_size=config.patch_size,
            width=config.num_attention_heads * config.attention_head_dim,
            depth=config.num_layers,
            heads=config.num_attention_heads,
            learns_variance=self.transformer.out_channels == 2 * config.in_channels,
        )

    @property
    def null_class(self) -> int:
        """The class id that stands for no class."""
        return self.shape.num_classes

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Return the raw output for inputs (B, C, H, W), timesteps (B,) int64 and class ids (B,) int64."""
        conditioning = self.embedder(timesteps, labels, hidden_dtype=noisy.dtype)
        return cast(Tensor, self.transformer(noisy, class_labels=conditioning, return_dict=False)[0])

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights as the original does: Xavier for linear layers, modulation and output zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.data.flatten(1), generator=generator)
                nn.init.zeros_(cast(Tensor, module.bias))
        embedder = self.embedder
        for weight in (
            embedder.class_embedder.embedding_table.weight,
            embedder.timestep_embedder.linear_1.weight,
            embedder.timestep_embedder.linear_2.weight,
        ):
            nn.init.normal_(weight, std=0.02, generator=generator)
        zeroed = [block.norm1.linear for block in cast("list[Any]", self.transformer.transformer_blocks)]
        for linear in (*zeroed, self.transformer.proj_out_1, self.transformer.proj_out_2):
            nn.init.zeros_(linear.weight)

    def save(self, folder: Path) -> None:
        """Write a plain diffusers model folder, in which every block has its copy of the embedder again."""
        plain = _make_transformer(self.shape)
        state = self.transformer.state_dict()
        for block in range(self.shape.depth):
            copies = {
                f"transformer_blocks.{block}.norm1.emb.{name}": t for name, t in self.embedder.state_dict().items()
            }
            state |= copies
        plain.load_state_dict(state)
        plain.save_pretrained(folder)


def make_denoiser(shape: DenoiserShape) -> Denoiser:
    """Return a denoiser whose weights are still to be drawn or loaded; no draws of the global generator are used up."""
    return Denoiser(_make_transformer(shape))


def _make_transformer(shape: DenoiserShape) -> DiTTransformer2DModel:
    with torch.random.fork_rng(devices=[]):
        return DiTTransformer2DModel(
            num_attention_heads=shape.heads,
            attention_head_dim=shape.width // shape.heads,
            in_channels=shape.channels,
            out_channels=shape.channels * (2 if shape.learns_variance else 1),
            num_layers=shape.depth,
            sample_size=shape.image_size,
            patch_size=shape.patch_size,
            num_embeds_ada_norm=shape.num_classes,
            norm_eps=NORM_EPS,
        )


class _Given(nn.Module):
    """Stands where a block had its embedder, and returns the conditioning it is handed in the labels' place."""

    def forward(self, timestep: None, class_labels: Tensor, hidden_dtype: torch.dtype | None = None) -> Tensor:
        return class_labels
