"""Threads that pay: by the size of a step alone, more for more work, all where nothing is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench import evaluate
from ddbench.engine.threads import FLOPS_OF_A_THREAD, step_flops, threads_that_pay
from ddbench.host.threads import given_threads
from ddbench.network import InputShape
from ddbench.runs.distill import distill
from ddbench.work import FORWARD, TRAINING, Passes, PhaseWork

CIFAR = InputShape(channels=3, image_size=32, num_classes=10)


def work_of(flops):
    """Work whose steps have about so many FLOPs."""
    one = step_flops(Passes("mlp-w4", 1, 1), CIFAR)
    return PhaseWork((Passes("mlp-w4", 100, max(1, round(flops / one))),))


@pytest.mark.parametrize(
    ("flops", "at_hand", "threads"),
    [(0.1, 16, 1), (1.9, 16, 1), (2.1, 16, 2), (4.1, 16, 4), (1000, 16, 16), (1000, 6, 6), (3, 2, 2), (1000, 1, 1)],
)
def test_a_step_has_a_thread_for_each_so_many_flops(flops, at_hand, threads):
    assert threads_that_pay(work_of(flops * FLOPS_OF_A_THREAD), CIFAR, at_hand) == threads


def test_what_declares_nothing_has_all_and_what_passes_no_network_has_one():
    assert threads_that_pay(None, CIFAR, 7) == 7
    assert threads_that_pay(PhaseWork(), CIFAR, 7) == 1


def test_a_few_large_steps_are_no_reason_for_more_threads():
    small = Passes("mlp-w4", 10**6, 1, TRAINING)
    large = Passes("convnet-d3", 100, 100, FORWARD)
    assert threads_that_pay(PhaseWork((large,)), CIFAR, 8) > 1
    assert threads_that_pay(PhaseWork((Passes("mlp-w4", 10**9, 1, TRAINING), large)), CIFAR, 8) == 1
    assert threads_that_pay(PhaseWork((small, large)), CIFAR, 8) > 1


@given(st.floats(0, 100), st.floats(1, 10), st.integers(1, 64))
def test_more_work_has_no_fewer_threads_and_none_has_more_than_are_at_hand(flops, factor, at_hand):
    few, many = (threads_that_pay(work_of(f * FLOPS_OF_A_THREAD), CIFAR, at_hand) for f in (flops, flops * factor))
    assert 1 <= few <= many <= at_hand


def test_a_result_says_on_how_many_threads_it_was_made_and_the_machine_how_many_there_were():
    distilled = distill("dm", "digits", 1, config={"network": "convnet-d1-w8", "steps": 1}, device="cpu")
    assert distilled.provenance["engine"]["distill_threads"] == 1
    with given_threads(1):
        alone = evaluate(distilled, "digits", "quick", "convnet-d1-w8", 1, device="cpu")
    result = evaluate(distilled, "digits", "quick", "convnet-d1-w8", 1, device="cpu")
    assert result.engine["threads"] == 1
    assert result.engine["distill_threads"] == 1
    assert result.machine == alone.machine
