"""DC and DSA against their papers written out in float64: whole runs, with native blocks and with plain layers.

In float64 to 1e-12, and in float32, as they run for users, to what rounding leaves.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.images import LabeledImages
from ddbench.method import RunContext, make_method
from ddbench.methods._gradient_matching import iteration
from ddbench.networks import convnet
from tests.golden._agreement import difference
from tests.golden._double import DoubleImages
from tests.golden._naive_matching import Matching, draw_real, naive_matching

STRATEGY = "color_crop_cutout_flip_scale_rotate"
WITHIN, WITHIN_FLOAT32 = 1e-12, 1e-5
RUNS = {  # images per class, and the run
    "one match": (1, Matching()),
    "three networks": (1, Matching(steps=3)),
    "trained in between": (2, Matching(steps=2, loops=(3, 2))),
    "odd batches": (3, Matching(loops=(2, 1))),
}
FORMS = [pytest.param("native", marks=pytest.mark.compiler), "plain"]


def start_of(method: str, train: LabeledImages, ipc: int, generator: torch.Generator) -> Tensor:
    if method == "dc":
        return torch.randn(train.num_classes * ipc, 3, 8, 8, generator=generator)
    return torch.cat([draw_real(train, label, ipc, generator) for label in range(train.num_classes)])


def missed(
    method: str, train: LabeledImages, ipc: int, run: Matching, context: RunContext, **settings: object
) -> dict[str, float]:
    """By how much a method's images, moves and first loss are off; it must have drawn what the naive one has."""
    logged: dict[str, float] = {}
    watched = replace(context, generator=torch.Generator().manual_seed(21), log=logged.__setitem__)
    made = make_method(method, {**run.settings(), **settings}).distill(train, ipc, watched).images
    generator = torch.Generator().manual_seed(21)
    start = start_of(method, train, ipc, generator)
    expected, losses = naive_matching(train, start, run, generator)
    assert torch.equal(watched.generator.get_state(), generator.get_state())
    assert (expected - start).abs().max() > 1e-3
    assert logged.keys() == {"loss[0]"}
    return {
        "loss": difference(logged["loss[0]"], losses[0]),
        "images": difference(made, expected),
        "moves": difference(made.double() - start, expected - start),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("method", ["dc", "dsa"])
@pytest.mark.usefixtures("in_double")
def test_whole_runs_are_the_papers_equations(method, run, form, toy, context, monkeypatch, agreement):
    if form == "plain":
        monkeypatch.setattr(convnet, "with_native_blocks", lambda network: network)
    ipc, matching = RUNS[run]
    matching = replace(matching, strategy=STRATEGY if method == "dsa" else "")
    agreement(missed(method, DoubleImages.from_pixels(toy), ipc, matching, context), WITHIN)


@pytest.mark.parametrize("method", ["dc", "dsa"])
def test_in_float32_rounding_alone_is_between_them(method, toy, context, agreement):
    ipc, matching = RUNS["trained in between"]
    matching = replace(matching, strategy=STRATEGY if method == "dsa" else "")
    agreement(missed(method, toy, ipc, matching, context), WITHIN_FLOAT32)


@pytest.mark.parametrize("strategy", STRATEGY.split("_"))
@pytest.mark.usefixtures("in_double")
def test_the_gradient_goes_through_every_augmentation(strategy, toy, context, monkeypatch, agreement):
    monkeypatch.setattr("ddbench.methods.dsa.dsa_strategy", lambda info: strategy)
    agreement(missed("dsa", DoubleImages.from_pixels(toy), 2, Matching(steps=2, strategy=strategy), context), WITHIN)


@pytest.mark.usefixtures("in_double")
def test_loops_that_are_not_set_are_the_tables(toy, context, monkeypatch, agreement):
    monkeypatch.setitem(iteration.LOOPS, 1, (2, 3))
    unset = {"outer_loops": None, "inner_epochs": None}
    train = DoubleImages.from_pixels(toy)
    agreement(missed("dc", train, 1, Matching(loops=(2, 3)), context, **unset), WITHIN)
