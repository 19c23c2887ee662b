"""Declared work: FLOPs and bytes by hand, and what methods declare against what torch counts while they run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ddbench import load_dataset
from ddbench.method import RunContext, make_method
from ddbench.network import InputShape
from ddbench.work import (
    BY_IMAGES,
    FORWARD,
    META,
    TRAINING,
    Passes,
    PhaseWork,
    count_bytes,
    count_flops,
    image_bytes,
    profile_network,
)

SHAPE = InputShape(1, 8, 10)
D1_FLOPS = 2 * 9 * 8 * 64 + 2 * 8 * 16 * 10  # a 3x3 conv from 1 to 8 channels on 64 pixels, and the linear layer
D1_PARAMETERS = 9 * 8 + 8 + 2 * 8 + 8 * 16 * 10 + 10


class Counter(TorchDispatchMode):
    """Counts FLOPs by torch's own formulas, inside function transforms too, where `FlopCounterMode` fails."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


def test_a_network_is_counted_by_hand_without_touching_the_global_generator():
    before = torch.get_rng_state()
    profile = profile_network("convnet-d1-w8", SHAPE)
    assert (profile.flops, profile.parameters, profile.embedding) == (D1_FLOPS, D1_PARAMETERS, 8 * 16)
    assert profile.activations == 3 * 8 * 64 + 8 * 16 + 10  # conv, norm, ReLU; pooled; logits
    assert profile.largest == 8 * 64
    assert torch.equal(torch.get_rng_state(), before)


def test_flops_are_images_times_cost():
    passes = [Passes("convnet-d1-w8", 7, 2, cost) for cost in (FORWARD, BY_IMAGES, TRAINING, META)]
    assert count_flops(passes, SHAPE) == 7 * 15 * D1_FLOPS
    assert count_flops([], SHAPE) == 0


@given(batch=st.integers(1, 500), more=st.integers(1, 500), held=st.integers(0, 10**9))
def test_bytes_grow_with_the_batch_and_with_the_cost_and_count_the_largest_pass_alone(batch, more, held):
    def bytes_of(size, cost):
        return count_bytes(PhaseWork((Passes("convnet-d1-w8", 1000, size, cost),), held), SHAPE)

    costs = [bytes_of(batch, cost) for cost in (FORWARD, TRAINING, META)]
    assert held < costs[0] < costs[1] < costs[2]
    assert all(bytes_of(batch + more, cost) > bytes_of(batch, cost) for cost in (FORWARD, TRAINING, META))
    both = PhaseWork(tuple(Passes("convnet-d1-w8", 1000, batch, cost) for cost in (FORWARD, META)), held)
    assert count_bytes(both, SHAPE) == costs[2]
    assert count_bytes(PhaseWork(), SHAPE) == 0
    assert image_bytes(batch, SHAPE) == batch * 64 * 4


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("random_real", {}),
        ("herding", {"feature_network": "convnet-d3-w8", "feature_epochs": 1}),
        ("dm", {"network": "convnet-d3-w8", "steps": 2, "real_batch_size": 16}),
        ("dc", {"network": "convnet-d3-w8", "steps": 1, "real_batch_size": 32, "outer_loops": 2, "inner_epochs": 2}),
        (
            "mtt",
            {
                "network": "convnet-d3-w8",
                "zca": False,
                "num_experts": 1,
                "trajectory_epochs": 2,
                "expert_epochs": 1,
                "max_start_epoch": 1,
                "steps": 2,
                "syn_steps": 3,
            },
        ),
    ],
)
def test_methods_declare_what_they_do(method, settings, generator, tmp_path):
    train = load_dataset("digits").train
    built = make_method(method, settings)
    ctx = RunContext(torch.device("cpu"), generator, tmp_path)
    with Counter() as preparing:
        prepared = built.prepare(train, ctx)
    with Counter() as distilling:
        built.distill(train, 2, replace(ctx, prepared=prepared))
    work = built.work(train, 2)
    for phase, counted in ((work.prepare, preparing.flops), (work.distill, distilling.flops)):
        assert 0.75 * counted <= count_flops(phase.passes, SHAPE) <= 1.25 * counted


def test_a_method_that_says_nothing_is_unknown():
    assert make_method("minimax", {}).work(load_dataset("digits").train, 1) is None


@pytest.mark.parametrize("method", ["dm", "dc", "dsa", "mtt"])
def test_methods_whose_networks_pass_in_native_form_say_so(method):
    work = make_method(method, {"network": "convnet-d3-w8"}).work(load_dataset("digits").train, 1)
    passes = (*work.prepare.passes, *work.distill.passes)
    assert passes
    assert all(part.is_native for part in passes)
