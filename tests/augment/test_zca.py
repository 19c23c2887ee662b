"""Tests of ZCA whitening, against an eigen-decomposition in NumPy, float64."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddbench.augment import zca
from ddbench.augment.zca import EPS, MAX_SIDE, fit_zca, unwhiten, whiten, zca_unsupported
from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError, UnsupportedError
from ddbench.images import DatasetInfo, LabeledImages, Whitening
from tests.golden._naive_whitening import naive_fit


def make_split(count: int = 60, channels: int = 3, side: int = 4, seed: int = 0) -> LabeledImages:
    """Images whose neighbouring pixels go together, so that there is something to whiten."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, channels, side, side), generator=generator).double()
    images = (images + 2 * images.roll(1, 3) + images.roll(1, 1)).div(4).to(torch.uint8)
    info = DatasetInfo("toy", ("a", "b"), channels, side, (0.4,) * channels, (0.2,) * channels, "")
    return LabeledImages(images, torch.arange(count) % 2, info)


def flat_pixels(split: LabeledImages) -> np.ndarray:
    everything = split.pixels(torch.arange(len(split)))
    return everything.numpy().astype(np.float64).reshape(len(split), -1) / 255


def rounding_bounds(pixels: np.ndarray, eps: float) -> tuple[float, float, float]:
    """Return by how much float32 may move the mean, the matrix and whitened images: largest value, 2-norm, 2-norm.

    To first order in `u`, what one operation rounds by. N pixels in [0, 1] are summed up and centred: (N + 2) u. The
    covariance S sums up N products of centred pixels, each off by 3 u at most, and is decomposed: a backward error
    of D u ||S||. What (S + eps)^-1/2 moves by is its slope at the smallest variance s, 1/2 (s + eps)^-3/2, times the
    error of S; its three factors and their products round by D u of its norm each.
    """
    (count, dims), u = pixels.shape, 2.0**-24
    centred = pixels - pixels.mean(0)
    values = np.linalg.eigvalsh(centred.T @ centred / (count - 1))
    smallest, largest = values[0].clip(0) + eps, values[-1].clip(0)
    of_mean = (count + 2) * u
    of_covariance = u * ((count + dims) * largest + 6 * np.sqrt(count / (count - 1) * dims * largest))
    of_matrix = of_covariance / (2 * smallest**1.5) + 3 * (dims + 1) * u / np.sqrt(smallest)
    length = np.linalg.norm(centred, axis=1).max()
    of_images = length * of_matrix + (np.sqrt(dims) * 3 * of_mean + dims * u * length) / np.sqrt(smallest)
    return of_mean, of_matrix, of_images


@settings(deadline=None, max_examples=15)
@given(
    count=st.sampled_from([2, 30, 60]),
    channels=st.sampled_from([1, 3]),
    side=st.integers(1, 5),
    eps=st.sampled_from([0.01, EPS, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_fit_and_transform_are_the_written_out_formula(count, channels, side, eps, seed):
    split = make_split(count, channels, side, seed)
    found, pixels = fit_zca(split, eps), flat_pixels(split)
    mean, matrix = naive_fit(pixels, eps)
    of_mean, of_matrix, of_images = rounding_bounds(pixels, eps)
    assert np.abs(found.mean.numpy() - mean).max() <= of_mean
    assert np.linalg.norm(found.matrix.numpy() - matrix, 2) <= of_matrix
    whitened = whiten(split.images, found)
    expected = ((pixels - mean) @ matrix).reshape(split.images.shape)
    assert np.linalg.norm((whitened.numpy() - expected).reshape(count, -1), axis=1).max() <= of_images
    assert whitened.dtype == torch.float32


def test_the_bounds_of_rounding_tell_other_formulas_apart():
    pixels = flat_pixels(make_split())
    _, of_matrix, _ = rounding_bounds(pixels, 0.01)
    _, matrix = naive_fit(pixels, 0.01)
    for factor in (59 / 60, 1.01):  # of the covariance: one that divides by N, one a hundredth too large
        _, other = naive_fit(pixels * np.sqrt(factor), 0.01)
        assert np.linalg.norm(other - matrix, 2) > 5 * of_matrix


def test_the_constants_are_those_of_mtt():
    assert EPS == 0.1
    assert fit_zca(make_split()).hash == fit_zca(make_split(), 0.1).hash != fit_zca(make_split(), 0.2).hash


def test_constants_are_float32_on_the_cpu_and_the_same_every_time():
    found = fit_zca(make_split())
    assert {found.mean.dtype, found.matrix.dtype} == {torch.float32}
    assert {found.mean.device.type, found.matrix.device.type} == {"cpu"}
    assert found.matrix.is_contiguous()
    torch.testing.assert_close(found.matrix, found.matrix.T)
    assert found.hash == fit_zca(make_split()).hash


def test_covariance_of_whitened_images_is_what_eps_leaves_of_the_identity():
    split = make_split(400)
    values = np.linalg.eigvalsh(np.cov(flat_pixels(split), rowvar=False))
    found = np.linalg.eigvalsh(np.cov(whiten(split.images, fit_zca(split)).flatten(1).numpy(), rowvar=False))
    np.testing.assert_allclose(np.sort(found), np.sort(values / (values + EPS)), atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(channels=st.sampled_from([1, 3]), side=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_unwhiten_undoes_whiten_both_ways(channels, side, seed):
    split = make_split(50, channels, side, seed)
    whitening = fit_zca(split)
    pixels = whiten(split.images, whitening)
    found = unwhiten(pixels, whitening)
    assert (found.dtype, found.shape) == (torch.float32, split.images.shape)
    torch.testing.assert_close(found, split.images.float() / 255, rtol=0, atol=1e-4)
    free = torch.randn(5, channels, side, side, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(whiten(unwhiten(free, whitening), whitening), free, rtol=0, atol=1e-4)


def test_real_digits_come_back():
    train = load_dataset("digits").train
    chosen, whitening = train.pixels(torch.arange(20)), fit_zca(train)
    found = unwhiten(whiten(chosen, whitening), whitening)
    assert torch.equal(found.mul(255).round().to(torch.uint8), chosen)


def test_bytes_and_float_pixels_whiten_alike():
    split = make_split()
    whitening, expected = fit_zca(split), whiten(split.images, fit_zca(split))
    for pixels in (split.images.float() / 255, split.images.double() / 255):
        found = whiten(pixels, whitening)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
    assert whiten(split.images[:0], whitening).shape == (0, 3, 4, 4)


def test_channels_last_images_are_whitened_as_others_are():
    split = make_split()
    whitening, images = fit_zca(split), split.images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(whiten(images, whitening), whiten(split.images, whitening))
    whitened = whiten(split.images, whitening)
    found = unwhiten(whitened.contiguous(memory_format=torch.channels_last), whitening)
    assert torch.equal(found, unwhiten(whitened, whitening))


def test_gradients_pass_through_whitening():
    whitening = fit_zca(make_split())
    pixels = torch.rand(2, 3, 4, 4, requires_grad=True)
    whiten(pixels, whitening).sum().backward()
    torch.testing.assert_close(pixels.grad, whitening.matrix.sum(1).view(1, 3, 4, 4).expand(2, -1, -1, -1))


def test_a_whitening_moves_only_where_it_is_not_yet():
    whitening = fit_zca(make_split())
    assert whitening.to("cpu") is whitening
    assert whitening.to(torch.device("cpu")) is whitening


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives():
    split = make_split()
    found = fit_zca(split, device="cuda")
    torch.testing.assert_close(found.matrix, fit_zca(split).matrix, rtol=1e-4, atol=1e-4)
    whitened = whiten(split.images.cuda(), found)
    assert whitened.is_cuda
    assert found.to("cuda").hash == found.hash
    torch.testing.assert_close(unwhiten(whitened, found).cpu(), split.images.float() / 255, rtol=0, atol=1e-4)


def test_a_matrix_without_inverse_is_an_error_of_one_line():
    flat = Whitening(torch.zeros(48), torch.zeros(48, 48))
    with pytest.raises(BadInputError, match="must have an inverse") as caught:
        unwhiten(torch.zeros(1, 3, 4, 4), flat)
    assert "\n" not in str(caught.value)


class Counted:
    """Images that take down which of them are read."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.shape = images, images.shape
        self.read: list[int] = []

    def __getitem__(self, indices: Tensor) -> Tensor:
        self.read += indices.tolist()
        return self.images[indices]


def test_the_fit_reads_each_image_of_the_split_it_is_given_once_and_changes_none():
    split = make_split()
    before, counted = split.images.clone(), Counted(split.images)
    found = fit_zca(replace(split, images=counted))
    assert counted.read == list(range(len(split)))
    assert torch.equal(split.images, before)
    assert found.hash == fit_zca(split).hash


def test_mean_and_std_of_the_data_set_play_no_part():
    split = make_split()
    other = replace(split, info=replace(split.info, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)))
    assert fit_zca(other).hash == fit_zca(split).hash


@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_eps_must_be_positive(eps):
    with pytest.raises(BadInputError, match="eps of the ZCA whitening must be a positive number"):
        fit_zca(make_split(), eps)


def test_one_image_is_too_few():
    with pytest.raises(BadInputError, match="at least 2 images, got 1"):
        fit_zca(make_split(1))


def test_large_images_are_refused_with_the_size_of_their_matrix():
    info = make_split().info
    assert [zca_unsupported(replace(info, image_size=side)) for side in (4, 32, MAX_SIDE)] == [None] * 3
    assert "at most 64 px, got 128 px" in zca_unsupported(replace(info, image_size=128))
    assert " 9 GiB" in zca_unsupported(replace(info, image_size=128))
    assert " 144 GiB" in zca_unsupported(replace(info, image_size=256))
    assert " 1 GiB" in zca_unsupported(replace(info, image_size=128, channels=1, mean=(0.4,), std=(0.2,)))


def test_a_fit_of_large_images_stops_before_any_work():
    split = make_split(side=65)
    with pytest.raises(UnsupportedError, match="toy: ZCA whitening takes images of at most 64 px") as caught:
        fit_zca(split.on(torch.device("meta")))
    assert "\n" not in str(caught.value)


def test_importing_the_module_does_not_import_kornia():
    body = ast.parse(Path(zca.__file__).read_text(encoding="utf-8")).body
    statements = [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert statements
    assert not any("kornia" in statement for statement in statements)
