"""Tests of codecs against diffusers called directly."""

import pytest
import torch

from ddbench.diffusion.codec import DECODED_AT_ONCE, NotFiniteError, PixelCodec, VaeCodec, to_uint8
from tests.diffusion._small_models import random_vae


@pytest.fixture
def pixels(generator):
    """Five colour images of 16 px."""
    return torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_every_pixel_value_comes_back_exactly():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    mean, deviation = PixelCodec().encode(pixels)
    assert mean.dtype == torch.float32
    assert (mean.min(), mean.max()) == (-1, 1)
    assert not deviation.any()
    assert torch.equal(PixelCodec().decode(mean), pixels)


def test_pixels_keep_their_size():
    assert (PixelCodec().downsampling, PixelCodec().channels_of(1), PixelCodec().channels_of(3)) == (1, 1, 3)
    assert not PixelCodec().is_stochastic


def test_what_is_out_of_range_is_clipped_and_the_rest_rounded():
    values = torch.tensor([-3.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 1.5])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_image(value):
    with pytest.raises(NotFiniteError, match="the images drawn are not finite: the backbone has diverged; lower lr"):
        PixelCodec().decode(torch.tensor([0.5, value]))
    latents = torch.zeros(1, 4, 4, 4)
    latents[0, 0, 0, 0] = value
    with pytest.raises(NotFiniteError):
        VaeCodec(random_vae(levels=1)).decode(latents)


@pytest.mark.parametrize(("levels", "downsampling"), [(1, 1), (2, 2), (4, 8)])
@torch.no_grad()
def test_downsampling_is_that_of_the_latents(pixels, levels, downsampling):
    vae = random_vae(levels=levels, latent_channels=2)
    codec = VaeCodec(vae)
    assert codec.downsampling == VaeCodec.downsampling_of(vae.config) == downsampling
    assert codec.encode(pixels)[0].shape == (5, codec.channels_of(3), 16 // downsampling, 16 // downsampling)


def test_latents_are_those_of_diffusers_times_the_factor(pixels):
    vae = random_vae(levels=2)
    mean, deviation = VaeCodec(vae).encode(pixels)
    with torch.no_grad():
        posterior = vae.encode(pixels.float() / 127.5 - 1).latent_dist
    assert vae.config.scaling_factor == 0.18215
    assert torch.allclose(mean, posterior.mean * 0.18215, rtol=1e-5, atol=1e-6)
    assert torch.allclose(deviation, (posterior.logvar / 2).exp() * 0.18215, rtol=1e-4)
    assert not mean.requires_grad


def test_decoding_undoes_the_factor(generator):
    vae = random_vae(levels=2)
    latents = torch.randn(3, 4, 8, 8, generator=generator) * 0.18215
    with torch.no_grad():
        expected = vae.decode(latents / 0.18215).sample
    images = VaeCodec(vae).decode(latents)
    assert (images.dtype, images.shape) == (torch.uint8, (3, 3, 16, 16))
    assert torch.equal(images, to_uint8(expected))
    assert len(images.unique()) > 20  # not all clipped


def test_many_images_are_decoded_a_few_at_a_time(generator):
    codec = VaeCodec(random_vae(levels=1))
    latents = torch.randn(DECODED_AT_ONCE + 3, 4, 4, 4, generator=generator)
    together = codec.decode(latents)
    assert len(together) == len(latents)
    alone = torch.cat([codec.decode(latent[None]) for latent in latents])
    assert (together.int() - alone.int()).abs().max() <= 1  # a float's rounding


def test_a_vae_is_frozen():
    codec = VaeCodec(random_vae(levels=1).train())
    assert not codec.vae.training
    assert not any(parameter.requires_grad for parameter in codec.vae.parameters())
