"""Tests of the iteration that `dc` and `dsa` share: loops, settings, and how its gradients run."""

from __future__ import annotations

import pytest
import torch

from ddbench.engine.compiled import COMPILE_FROM_PIXELS
from ddbench.method import config_of, make_method
from ddbench.methods._gradient_matching.iteration import loops_for

LOOPS_OF_THE_REFERENCE = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}


@pytest.mark.parametrize(
    ("ipc", "loops"),
    [
        *LOOPS_OF_THE_REFERENCE.items(),
        *[(2, (1, 1)), (9, (1, 1)), (11, (10, 50)), (49, (40, 15)), (51, (50, 10)), (1000, (50, 10))],
    ],
)
def test_loops_are_the_tables_or_those_of_the_largest_below(ipc, loops):
    assert loops_for(ipc) == loops


@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_the_defaults_are_the_papers(name):
    assert config_of(make_method(name)) == {
        "network": "convnet-d3",
        "steps": 1000,
        "image_lr": 0.1,
        "image_momentum": 0.5,
        "network_lr": 0.01,
        "real_batch_size": 256,
        "network_batch_size": 256,
        "outer_loops": None,
        "inner_epochs": None,
    }


@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_bf16_is_recorded_where_asked_for_and_changes_the_images_a_little(name, toy, context):
    settings = {"network": "convnet-d1-w8", "steps": 3, "real_batch_size": 16}
    made = {}
    for precision in ("fp32", "bf16"):
        method = make_method(name, {**settings, "real_precision": precision})
        assert ("real_precision" in config_of(method)) == (precision == "bf16")
        context.generator.manual_seed(0)
        made[precision] = method.distill(toy, 1, context).images
    assert not torch.equal(made["fp32"], made["bf16"])
    assert torch.allclose(made["fp32"], made["bf16"], atol=0.05)


@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_batch_norm_is_refused_in_one_line(name, toy):
    reason = make_method(name, {"network": "convnet-d1-bn"}).unsupported(toy, 1)
    assert "batch norm" in str(reason)
    assert "\n" not in str(reason)
    assert make_method(name, {"network": "convnet-d1"}).unsupported(toy, 1) is None


@pytest.mark.parametrize(("steps", "mode"), [(1, "eager"), (1_000_000, "compiled")])
def test_compiling_follows_from_the_declared_work(steps, mode, toy, context, monkeypatch):
    monkeypatch.setattr(
        torch, "compile", lambda function, **_: function
    )  # nothing is run, and its import takes seconds
    # 15 real images of 8 px a step, and 6 images trained on for 2 epochs.
    settings = {"network": "mlp-w4", "steps": steps, "real_batch_size": 5, "outer_loops": 2, "inner_epochs": 2}
    work = make_method("dc", settings)._make_work(toy, 2, context)
    assert (steps * (2 * 15 + 2 * 6) * 64 >= COMPILE_FROM_PIXELS) == (mode == "compiled")
    assert work.gradients.mode == mode


@pytest.mark.compiler
def test_a_network_with_a_native_form_takes_it_and_nothing_is_compiled(monkeypatch, toy, context):
    monkeypatch.setattr(torch, "compile", None)  # a call would fail
    settings = {"network": "convnet-d1-w4", "steps": 1_000_000, "real_batch_size": 5}
    assert make_method("dc", settings)._make_work(toy, 2, context).gradients.mode == "native"
