"""Tests of RDED: which crops are chosen, where they go, and what they are crops of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2.functional import resize

from ddbench.dataset import load_dataset
from ddbench.method import RunContext, make_method, untracked
from ddbench.methods._teacher.foundation import load_teacher
from ddbench.methods.rded import choose_crops, crop_all, draw_squares, put_together
from ddbench.runs.distill import distill
from ddbench.runs.preparation import make_foundations
from tests._keeper import Keeper, KilledError

SMOKE = {"teacher_network": "convnet-d1-w8-bn", "teacher_epochs": 3, "candidates": 20}


@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 8), columns=st.integers(1, 5), seed=st.integers(0, 2**32), data=st.data())
def test_the_best_crop_of_the_best_images_is_chosen(rows, columns, seed, data):
    count = data.draw(st.integers(1, rows))
    losses = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    best = sorted(min((losses[r, c].item(), r * columns + c) for c in range(columns)) for r in range(rows))
    assert choose_crops(losses, count).tolist() == [place for _, place in best[:count]]


def test_patches_fill_the_cells_of_all_images_row_by_row():
    patches = torch.arange(8).view(8, 1, 1, 1).expand(8, 2, 3, 3)  # 2 images of 2x2
    first, second = put_together(patches, 2)
    assert first.shape == (2, 6, 6)
    assert first[0, ::3, ::3].tolist() == [[0, 2], [4, 6]]
    assert second[1, 2::3, 2::3].tolist() == [[1, 3], [5, 7]]
    assert torch.equal(put_together(patches, 1), patches)


def test_squares_lie_inside_and_have_the_papers_areas():
    squares = draw_squares(torch.Generator().manual_seed(0), 4000, 40)
    top, left, side = squares.unbind(1)
    assert int(squares[:, :2].min()) == 0
    assert bool(((top + side <= 40) & (left + side <= 40)).all())
    areas = (side / 40) ** 2
    assert float(areas.min()) >= 0.07  # a side is a whole number
    assert float(areas.mean()) == pytest.approx((0.08 + 1) / 2, abs=0.02)


def test_crops_are_those_of_each_image_in_turn():
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    squares = torch.tensor([[0, 0, 8], [2, 3, 4], [1, 1, 5], [0, 0, 8]])
    crops = crop_all(images, squares, 8)
    assert torch.equal(crops[0], images[0])
    assert torch.equal(crops[1], resize(images[0, :, 2:6, 3:7], [8, 8], antialias=True))
    assert torch.equal(crops[2], resize(images[1, :, 1:6, 1:6], [8, 8], antialias=True))
    assert torch.equal(crops[3], images[1])


@pytest.mark.usefixtures("own_cache")
def test_a_teacher_is_surer_of_its_images_than_of_random_ones():

    real = load_dataset("digits")
    made = distill("rded", real, 3, config=SMOKE)
    method, ctx = make_method("rded", SMOKE), RunContext(torch.device("cpu"), torch.Generator(), None)
    (folder,), _ = make_foundations(method, real.train, ctx)
    teacher = load_teacher(method.config, real.train, RunContext(ctx.device, ctx.generator, None, foundation=folder))
    random = distill("random_real", real, 3)
    losses = [
        float(torch.nn.functional.cross_entropy(teacher(real.info.normalise(one.images)), one.labels))
        for one in (made, random)
    ]
    assert losses[0] < losses[1]


def test_small_images_are_one_crop_and_larger_ones_four():
    train = load_dataset("digits").train
    assert make_method("rded").unsupported(train, 140) is None
    assert "141 patches a class are needed" in make_method("rded").unsupported(train, 141)
    assert "144 patches" in make_method("rded", {"factor": 2}).unsupported(train, 36)
    assert "factor must divide the images' side, 8, got 3" in make_method("rded", {"factor": 3}).unsupported(train, 1)


@pytest.mark.usefixtures("own_cache")
def test_four_crops_make_an_image():
    made = distill("rded", "digits", 2, config={**SMOKE, "factor": 2})
    assert made.images.shape == (20, 1, 8, 8)
    assert made.labels.tolist() == [label for label in range(10) for _ in range(2)]


@pytest.mark.usefixtures("own_cache")
def test_a_resumed_choice_is_that_of_one_run():
    keeper, method, train = Keeper(4), make_method("rded", SMOKE), load_dataset("digits").train
    (folder,), _ = make_foundations(method, train, RunContext(torch.device("cpu"), torch.Generator(), None))

    def run(track):
        draws = torch.Generator().manual_seed(3)
        return method.distill(train, 2, RunContext(torch.device("cpu"), draws, None, foundation=folder, track=track))

    with pytest.raises(KilledError):
        run(keeper)
    assert torch.equal(run(keeper).images, run(untracked).images)
