"""Small denoisers and VAEs with random weights, and the folders that diffusers writes of them."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser

SMALL = DenoiserShape(8, 2, 5, patch_size=2, width=16, depth=3, heads=2, learns_variance=True)


def random_denoiser(shape=SMALL, seed=0):
    """A denoiser in evaluation mode whose every weight is random, so that nothing is hidden by a zero."""
    denoiser = make_denoiser(shape)
    randomise(denoiser, seed)
    return denoiser.eval()


def random_vae(*, levels=4, latent_channels=4, image_channels=3, seed=0):
    """A VAE that makes images 2**(levels - 1) times smaller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            in_channels=image_channels,
            out_channels=image_channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=(8,) * levels,
            layers_per_block=1,
            latent_channels=latent_channels,
            norm_num_groups=4,
        ).eval()


def randomise(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.3, generator=generator)


def random_call(denoiser, count=3, seed=1):
    """Inputs, timesteps and class ids to call a denoiser with, the null class among them."""
    shape, generator = denoiser.shape, torch.Generator().manual_seed(seed)
    dtype = next(denoiser.parameters()).dtype
    noisy = torch.randn(count, shape.channels, shape.image_size, shape.image_size, generator=generator, dtype=dtype)
    timesteps = torch.tensor([0, 500, 999])[:count]
    return noisy, timesteps, torch.tensor([0, shape.num_classes, 3])[:count]
