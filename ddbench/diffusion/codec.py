"""Between images and what a denoiser works on: pixels scaled to [-1, 1], or the latents of a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ddbench.engine.chunks import in_chunks
from ddbench.errors import DDBenchError

DECODED_AT_ONCE = 16  # images of 256 px; a decoder's activations are large


class NotFiniteError(DDBenchError):
    """Inputs that no denoiser should have drawn."""


class Codec(Protocol):
    """Turns images into a denoiser's inputs and back.

    Attributes:
        downsampling: image side over the denoiser's input side.
        is_stochastic: whether an image stands for a distribution of inputs.
    """

    downsampling: int
    is_stochastic: bool

    def channels_of(self, image_channels: int) -> int:
        """Return the channels of the denoiser's input for images of so many channels."""

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, (B, C, H, W) float32 each, of uint8 images; no gradient."""

    def decode(self, inputs: Tensor) -> Tensor:
        """Return uint8 images for a denoiser's inputs (B, C, H, W); no gradient."""


class PixelCodec:
    """Pixels themselves, scaled to [-1, 1]."""

    downsampling = 1
    is_stochastic = False

    def channels_of(self, image_channels: int) -> int:
        """The images' own."""
        return image_channels

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled pixels and zeros."""
        scaled = pixels.float().div(127.5).sub(1)
        return scaled, torch.zeros_like(scaled)

    def decode(self, inputs: Tensor) -> Tensor:
        """Return the nearest pixels."""
        return to_uint8(inputs)


class VaeCodec:
    """The latents of a diffusers `AutoencoderKL`, times its scaling factor.

    Args:
        vae: in evaluation mode, on the device that encodes and decodes.
    """

    is_stochastic = True

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.downsampling = self.downsampling_of(vae.config)

    @staticmethod
    def downsampling_of(config: Mapping[str, Any]) -> int:
        """Return image side over latent side for a VAE's settings."""
        return int(2 ** (len(config["block_out_channels"]) - 1))

    def channels_of(self, image_channels: int) -> int:
        """The latents'."""
        return int(self.vae.config.latent_channels)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and standard deviation."""
        posterior = self.vae.encode(pixels.float().div(127.5).sub(1)).latent_dist
        factor = self.vae.config.scaling_factor
        return posterior.mean * factor, posterior.std * factor

    @torch.no_grad()
    def decode(self, inputs: Tensor) -> Tensor:
        """Return the decoded images, a few at a time."""
        latents = inputs / self.vae.config.scaling_factor
        parts = in_chunks("decoded", lambda part: to_uint8(self.vae.decode(part).sample), latents, DECODED_AT_ONCE)
        return torch.cat(parts)


def to_uint8(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as clipped and rounded uint8; raises NotFiniteError, since NaN would come out black."""
    if not images.isfinite().all():
        raise NotFiniteError(
            "the images drawn are not finite: the backbone has diverged; lower lr, or check its weights"
        )
    return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
