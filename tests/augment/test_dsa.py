"""Tests of DSA, against a version that visits one pixel after the other in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from ddbench.augment.dsa import Draw, apply_dsa, draw_dsa, dsa_augment
from ddbench.augment.strategies import DSA_STRATEGY, DSA_STRATEGY_NO_FLIP
from ddbench.errors import BadInputError

NUM_PARAMS = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}
JUST_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))

Pixels = np.ndarray  # one image, (C, H, W) float64


def naive_color(image: Pixels, brightness: float, saturation: float, contrast: float) -> Pixels:
    out = image.copy()
    channels, height, width = out.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                out[c, y, x] += (brightness - 0.5) * 1.0
            grey = sum(out[c, y, x] for c in range(channels)) / channels
            for c in range(channels):
                out[c, y, x] = grey + 2.0 * saturation * (out[c, y, x] - grey)
                total += out[c, y, x]
    mean = total / out.size
    for index in np.ndindex(out.shape):
        out[index] = mean + (contrast + 0.5) * (out[index] - mean)
    return out


def naive_crop(image: Pixels, down: float, right: float) -> Pixels:
    _, height, width = image.shape
    pads = [int(side * 0.125 + 0.5) for side in (height, width)]
    shift_y, shift_x = (int(u * (2 * pad + 1)) - pad for u, pad in zip((down, right), pads, strict=True))
    out = np.zeros_like(image)
    for c, y, x in np.ndindex(image.shape):
        if 0 <= y + shift_y < height and 0 <= x + shift_x < width:
            out[c, y, x] = image[c, y + shift_y, x + shift_x]
    return out


def naive_cutout(image: Pixels, down: float, right: float) -> Pixels:
    _, height, width = image.shape
    holes = []
    for u, side in ((down, height), (right, width)):
        square = int(side * 0.5 + 0.5)
        centre = int(u * (side + 1 if square % 2 == 0 else side))
        holes.append(range(centre - square // 2, centre - square // 2 + square))
    out = image.copy()
    for c, y, x in np.ndindex(image.shape):
        if y in holes[0] and x in holes[1]:
            out[c, y, x] = 0
    return out


def naive_flip(image: Pixels, u: float) -> Pixels:
    out = image.copy()
    if u < 0.5:
        for c, y, x in np.ndindex(image.shape):
            out[c, y, x] = image[c, y, image.shape[2] - 1 - x]
    return out


def naive_resample(image: Pixels, theta: list[list[float]]) -> Pixels:
    """Bilinear; pixel i of n has its centre at (2 i + 1) / n - 1 (align_corners=False); zeros outside."""
    _, height, width = image.shape
    out = np.zeros_like(image)
    for c, y, x in np.ndindex(image.shape):
        to_x, to_y = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
        from_x = ((theta[0][0] * to_x + theta[0][1] * to_y + 1) * width - 1) / 2
        from_y = ((theta[1][0] * to_x + theta[1][1] * to_y + 1) * height - 1) / 2
        left, top = math.floor(from_x), math.floor(from_y)
        for row in (top, top + 1):
            for column in (left, left + 1):
                if 0 <= row < height and 0 <= column < width:
                    weight = (1 - abs(from_x - column)) * (1 - abs(from_y - row))
                    out[c, y, x] += weight * image[c, row, column]
    return out


def naive_scale(image: Pixels, u: float, v: float) -> Pixels:
    along_x, along_y = (1 / 1.2 + w * (1.2 - 1 / 1.2) for w in (u, v))
    return naive_resample(image, [[along_x, 0], [0, along_y]])


def naive_rotate(image: Pixels, u: float) -> Pixels:
    angle = math.pi / 180 * (-15 + 30 * u)
    return naive_resample(image, [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


NAIVE: dict[str, Callable[..., Pixels]] = {
    "color": naive_color,
    "crop": naive_crop,
    "cutout": naive_cutout,
    "flip": naive_flip,
    "scale": naive_scale,
    "rotate": naive_rotate,
}


def naive(images: Tensor, draw: Draw) -> Tensor:
    rows = draw.params.double().expand(len(images), -1).tolist()
    augmented = [NAIVE[draw.strategy](image, *row) for image, row in zip(images.numpy(), rows, strict=True)]
    return torch.from_numpy(np.stack(augmented))


def random_images(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 7), (3, 6, 5), (3, 5, 10)])
@pytest.mark.parametrize("strategy", NAIVE)
def test_every_strategy_equals_the_pixel_loop(strategy, shape, siamese, generator):
    images = random_images(3, *shape)
    draw = draw_dsa(generator, strategy, 3, siamese=siamese)
    assert draw.params.shape == (1 if siamese else 3, NUM_PARAMS[strategy])
    torch.testing.assert_close(apply_dsa(images, draw), naive(images, draw), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    strategy=st.sampled_from(sorted(NAIVE)),
    channels=st.sampled_from((1, 3)),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    uniform=st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=6, max_size=6),
)
def test_every_strategy_equals_the_pixel_loop_at_any_shape_and_parameters(strategy, channels, height, width, uniform):
    images = random_images(2, channels, height, width)
    params = torch.tensor(uniform[: 2 * NUM_PARAMS[strategy]]).view(2, -1)
    draw = Draw(strategy, params)
    augmented = apply_dsa(images, draw)
    assert augmented.shape == images.shape
    torch.testing.assert_close(augmented, naive(images, draw), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("side", [4, 5, 8, 11, 28, 32, 33, 264])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_crop_shifts_stay_in_range_even_for_the_largest_uniform_number(side, dtype):
    pad = int(side * 0.125 + 0.5)
    rows = torch.arange(1, side + 1, dtype=dtype).view(1, 1, side, 1).expand(1, 1, side, side)
    for uniform, expected in ((0.0, -pad), (JUST_BELOW_ONE, pad)):
        shifted = apply_dsa(rows, Draw("crop", torch.tensor([[uniform, 0.5]])))[0, 0, :, side // 2]
        if expected < 0:
            assert shifted.tolist() == [0.0] * pad + rows[0, 0, : side - pad, 0].tolist()
        else:
            assert shifted.tolist() == rows[0, 0, pad:, 0].tolist() + [0.0] * pad


@pytest.mark.parametrize("side", [2, 5, 8, 11, 33])
def test_cutout_leaves_part_of_the_hole_inside_even_for_the_largest_uniform_number(side):
    square = int(side * 0.5 + 0.5)
    for uniform in (0.0, JUST_BELOW_ONE):
        cut = apply_dsa(torch.ones(1, 1, side, side), Draw("cutout", torch.full((1, 2), uniform)))
        rows = int((cut == 0).any(3).sum())
        # A centre on the first pixel keeps the square's lower part; past the last, its upper part.
        expected = square - square // 2 if uniform == 0 or square % 2 else square // 2
        assert rows == expected
        assert int((cut == 0).sum()) == expected**2


@pytest.mark.parametrize(("strategy", "count"), [("crop", 3), ("cutout", 9)])
def test_every_place_is_drawn_equally_often(strategy, count, generator):
    # Crop of 8 px shifts by -1, 0 or 1; the 4 px hole of 8 px images has nine centres.
    num = 1800
    image = torch.arange(1.0, 9.0).view(1, 1, 8, 1).expand(num, 1, 8, 8)
    augmented = apply_dsa(image, draw_dsa(generator, strategy, num))[:, 0]
    columns = augmented.amax(2) if strategy == "crop" else augmented.amin(2)
    _, found = columns.unique(dim=0, return_counts=True)
    assert len(found) == count
    assert chisquare(found.numpy()).pvalue > 1e-3


def test_half_of_the_images_are_flipped(generator):
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(2000, 1, 1, 2)
    flipped = int(apply_dsa(image, draw_dsa(generator, "flip", 2000))[:, 0, 0, 0].sum())
    assert chisquare([flipped, 2000 - flipped]).pvalue > 1e-3


@pytest.mark.parametrize("strategy", [DSA_STRATEGY, DSA_STRATEGY_NO_FLIP, "crop_rotate"])
def test_one_strategy_of_the_list_is_drawn_uniformly_per_call(strategy, generator):
    names = [draw_dsa(generator, strategy, 2).strategy for _ in range(1500)]
    assert set(names) == set(strategy.split("_"))
    assert chisquare([names.count(name) for name in strategy.split("_")]).pvalue > 1e-3


def test_a_call_applies_the_drawn_strategy_and_no_other(generator):
    images = random_images(3, 3, 8, 8)
    for seed in range(12):
        draw = draw_dsa(torch.Generator().manual_seed(seed), DSA_STRATEGY, 3)
        augmented = dsa_augment(images, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(augmented, naive(images, draw), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize("strategy", NAIVE)
def test_gradients_are_those_of_finite_differences(strategy, siamese, generator):
    images = random_images(2, 3, 4, 4).requires_grad_()
    draw = draw_dsa(generator, strategy, 2, siamese=siamese)
    assert torch.autograd.gradcheck(lambda x: apply_dsa(x, draw), (images,))


@pytest.mark.parametrize("strategy", NAIVE)
def test_a_siamese_draw_is_one_transform_for_batches_of_any_size(strategy, generator):
    draw = draw_dsa(generator, strategy, 4, siamese=True)
    images = random_images(5, 3, 9, 9)
    together = apply_dsa(images, draw)
    apart = torch.cat([apply_dsa(image, draw) for image in images.split(1)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    same = apply_dsa(images[:1].expand(4, -1, -1, -1), draw)
    torch.testing.assert_close(same, same[:1].expand_as(same), rtol=0, atol=0)


@pytest.mark.parametrize("strategy", NAIVE)
def test_images_that_are_not_siamese_get_parameters_of_their_own(strategy, generator):
    copies = random_images(1, 3, 9, 9).expand(16, -1, -1, -1)
    augmented = apply_dsa(copies, draw_dsa(generator, strategy, 16))
    assert len(augmented.unique(dim=0)) > 1


def test_a_draw_that_is_not_siamese_cannot_be_replayed_on_another_size(generator):
    draw = draw_dsa(generator, "crop", 4)
    assert apply_dsa(torch.zeros(4, 1, 8, 8), draw).shape == (4, 1, 8, 8)
    with pytest.raises(BadInputError, match="draw for 4 images cannot be replayed on 5; draw with siamese=True") as e:
        apply_dsa(torch.zeros(5, 1, 8, 8), draw)
    assert "\n" not in str(e.value)


def test_replaying_a_draw_leaves_the_generator_alone(generator):
    draw = draw_dsa(generator, DSA_STRATEGY, 2, siamese=True)
    images = random_images(2, 3, 8, 8)
    before = generator.get_state()
    assert torch.equal(dsa_augment(images, generator, params=draw), apply_dsa(images, draw))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("siamese", [False, True])
def test_same_seed_gives_the_same_images_and_other_seeds_others(siamese):
    images = random_images(4, 3, 8, 8)
    first, again, other = (
        dsa_augment(images, torch.Generator().manual_seed(seed), siamese=siamese) for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generator_is_not_used(generator):
    before = torch.get_rng_state()
    for name in NAIVE:
        dsa_augment(random_images(2, 3, 8, 8), generator, name)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strategy", NAIVE)
def test_images_are_not_modified_and_keep_their_type(strategy, dtype, siamese, generator):
    images = random_images(3, 3, 8, 8).to(dtype)
    before = images.clone()
    augmented = apply_dsa(images, draw_dsa(generator, strategy, 3, siamese=siamese))
    assert augmented.dtype == dtype
    augmented.add_(1)
    assert torch.equal(images, before)


@pytest.mark.parametrize("strategy", ["colour", "", "crop_", "crop-flip", "color crop", "none"])
def test_an_unknown_strategy_is_refused_in_one_line(strategy, generator):
    with pytest.raises(BadInputError, match=r"DSA strategy must join color, crop, .* by '_', got") as caught:
        draw_dsa(generator, strategy, 1)
    assert "\n" not in str(caught.value)


class GpuGenerator(torch.Generator):
    """Says that it lies on a GPU, which this machine need not have."""

    device = torch.device("cuda", 0)


def test_a_gpu_generator_is_refused():
    with pytest.raises(BadInputError, match="pass a CPU generator, got one on cuda:0"):
        draw_dsa(GpuGenerator(), "crop", 1)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_images_as_the_cpu():
    images = random_images(4, 3, 16, 16)
    for name in NAIVE:
        draw = draw_dsa(torch.Generator().manual_seed(1), name, 4)
        on_gpu = apply_dsa(images.cuda(), draw).cpu()
        torch.testing.assert_close(on_gpu, apply_dsa(images, draw), rtol=1e-10, atol=1e-10)
