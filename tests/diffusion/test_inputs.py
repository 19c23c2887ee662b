"""Tests of what a denoiser is trained on."""

import pytest
import torch
from safetensors.torch import load_file

from ddbench.diffusion.codec import PixelCodec, VaeCodec
from ddbench.diffusion.inputs import EncodedInputs, PixelInputs, encode_classes
from ddbench.errors import DataMismatchError
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import untracked
from tests.diffusion._small_models import random_vae

CPU = torch.device("cpu")
COUNTS = (4, 20, 3)  # the second is encoded in two goes


@pytest.fixture(scope="module")
def images():
    """Three classes of 8 px in mixed order."""
    draws = torch.Generator().manual_seed(5)
    labels = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))[torch.randperm(sum(COUNTS), generator=draws)]
    pixels = torch.randint(256, (len(labels), 3, 8, 8), dtype=torch.uint8, generator=draws)
    return LabeledImages(pixels, labels, DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.5,) * 3, (0.25,) * 3, "toy"))


@pytest.fixture(scope="module")
def codec():
    """Latents of 4 px."""
    return VaeCodec(random_vae(levels=2, latent_channels=2))


@pytest.fixture(scope="module")
def encoded(images, codec, tmp_path_factory):
    """The folder of the encoded images."""
    folder = tmp_path_factory.mktemp("inputs")
    encode_classes(images, codec, folder, CPU, untracked)
    return folder


def in_order(images, classes):
    """Images sorted by class, as encoded inputs have them."""
    return torch.cat([images.pixels(images.of_class(label)) for label in classes])


def no_flips(count):
    return torch.zeros(count, dtype=torch.bool)


def test_pixels_are_scaled_and_mirrored_where_asked(images):
    inputs = PixelInputs(images, [0, 1, 2], PixelCodec())
    assert torch.equal(inputs.labels, images.labels)
    flips = torch.tensor([False, True, True])
    taken = inputs.take(torch.tensor([5, 0, 5]), flips, None)
    plain = images.images[torch.tensor([5, 0, 5])].float() / 127.5 - 1
    assert torch.allclose(taken[0], plain[0], atol=1e-6)
    assert torch.allclose(taken[1:], plain[1:].flip(3), atol=1e-6)
    assert not torch.equal(taken[0], taken[2])


def test_pixels_are_those_of_the_classes_asked_for(images):
    inputs = PixelInputs(images, [2, 0], PixelCodec())
    assert len(inputs.labels) == COUNTS[0] + COUNTS[2]
    for label in (0, 2):
        where = (inputs.labels == label).nonzero()[:, 0]
        expected = images.pixels(images.of_class(label)).float() / 127.5 - 1
        assert torch.allclose(inputs.take(where, no_flips(len(where)), None), expected, atol=1e-6)


def test_means_are_those_of_each_image_and_of_its_mirror_image(images, codec, encoded):
    inputs = EncodedInputs(encoded, [0, 1, 2])
    pixels = in_order(images, range(3))
    count = len(pixels)
    everything = torch.arange(count)
    assert inputs.labels.tolist() == [0] * 4 + [1] * 20 + [2] * 3
    plain = inputs.take(everything, no_flips(count), None)
    mirrored = inputs.take(everything, ~no_flips(count), None)
    assert torch.allclose(plain, codec.encode(pixels)[0], atol=1e-5)
    assert torch.allclose(mirrored, codec.encode(pixels.flip(3))[0], atol=1e-5)
    assert (mirrored - plain.flip(3)).abs().max() > 1e-3  # a VAE's latents of a mirror image are no mirrored latents


def test_noise_draws_from_the_posterior(images, codec, encoded, generator):
    inputs = EncodedInputs(encoded, [0, 1, 2])
    indices, flips = torch.tensor([7, 7, 1]), torch.tensor([False, True, True])
    noise = torch.randn(3, 2, 4, 4, generator=generator)
    pixels = in_order(images, range(3))[indices]
    means, deviations = codec.encode(torch.where(flips.view(-1, 1, 1, 1), pixels.flip(3), pixels))
    assert torch.allclose(inputs.take(indices, flips, noise), means + deviations * noise, atol=1e-5)


def test_many_draws_average_to_the_mean(encoded, generator):
    inputs = EncodedInputs(encoded, [0])
    draws, indices = 4000, torch.zeros(4000, dtype=torch.int64)
    taken = inputs.take(indices, no_flips(draws), torch.randn(draws, 2, 4, 4, generator=generator))
    mean = inputs.take(indices[:1], no_flips(1), None)[0]
    deviation = (inputs.take(indices[:1], no_flips(1), torch.ones(1, 2, 4, 4))[0] - mean).abs()
    assert deviation.min() > 0
    assert ((taken.mean(0) - mean).abs() < 5 * deviation / draws**0.5).all()
    assert torch.allclose(taken.std(0), deviation, rtol=0.1)


def test_only_the_classes_asked_for_are_read(encoded, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    (part / "class-0001.safetensors").write_bytes((encoded / "class-0001.safetensors").read_bytes())
    assert EncodedInputs(part, [1]).labels.tolist() == [1] * 20
    everything, some = EncodedInputs(encoded, [0, 1, 2]), EncodedInputs(encoded, [2, 1])
    assert some.labels.tolist() == [2] * 3 + [1] * 20
    assert torch.equal(
        some.take(torch.tensor([0]), no_flips(1), None), everything.take(torch.tensor([24]), no_flips(1), None)
    )


def test_a_missing_or_damaged_class_says_what_to_do(encoded, tmp_path):
    folder = tmp_path / "prepared" / "inputs"
    folder.mkdir(parents=True)
    (folder / "class-0000.safetensors").write_bytes((encoded / "class-0000.safetensors").read_bytes()[:50])
    for label in (0, 1):
        with pytest.raises(DataMismatchError, match=r"is missing or damaged; run it again to encode them again$"):
            EncodedInputs(folder, [label])


def test_encoding_goes_on_where_it_stopped(images, codec, encoded, own_cache):
    def encode() -> list[int]:
        seen = []

        def track(items, description, state=None):
            seen.extend(items)
            yield from items

        encode_classes(images, codec, own_cache, CPU, track)
        return seen

    def same(label: int) -> bool:
        name = f"class-{label:04d}.safetensors"
        found, expected = load_file(own_cache / name), load_file(encoded / name)
        return all(torch.equal(found[key], expected[key]) for key in ("means", "deviations"))

    assert encode() == [0, 1, 2]
    assert encode() == []
    (own_cache / "class-0000.safetensors").unlink()
    (own_cache / "class-0002.safetensors").write_bytes((own_cache / "class-0001.safetensors").read_bytes())
    with pytest.warns(UserWarning, match="made again: .*class-0002.safetensors is of other work") as caught:
        assert encode() == [0, 2]
    assert len(caught) == 1
    assert all(map(same, range(3)))
    assert not list(own_cache.glob(".tmp*"))
