"""Tests of several processes that train one denoiser: real ones, joined by accelerate over gloo."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.diffusion.codec import PixelCodec
from ddbench.diffusion.criteria_space import INPUTS, CentredSpace
from ddbench.diffusion.denoiser import DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan
from ddbench.diffusion.inputs import PixelInputs
from ddbench.method import RunContext

pytestmark = pytest.mark.slow

PLAN = TuningPlan(
    steps=4,
    batch_size=8,
    lr=1e-3,
    ema_decay=0.5,
    trainable="difffit",
    flips=False,
    representativeness_weight=0.1,
    diversity_weight=0.1,
    memory_size=4,
)


def make_training(plan, inputs_class=PixelInputs, *, centred=False):
    denoiser = make_denoiser(DenoiserShape(8, 1, 10, patch_size=4, width=16, depth=2, heads=2))
    denoiser.initialise(torch.Generator().manual_seed(0))
    # Zero, as it starts, the last layer would keep everything else from learning in so few steps.
    torch.nn.init.normal_(denoiser.transformer.proj_out_2.weight, generator=torch.Generator().manual_seed(1))
    inputs = inputs_class(load_dataset("digits").train, range(10), PixelCodec())
    space = CentredSpace(inputs, torch.device("cpu")) if centred else INPUTS
    return FineTuning(denoiser, inputs, torch.arange(10), plan, seed=3, space=space)


def train(plan, taken_up_from=None, *, centred=False):
    """Return a finished training and what it logged; with a state, (step, tensors), it goes on from there."""
    start, tensors = taken_up_from or (0, None)
    losses = {}

    def track(iterable, description, state):
        if tensors is not None:
            state.load_state(tensors)
        yield from (step for step in iterable if step >= start)

    training = make_training(plan, centred=centred)
    ctx = RunContext(torch.device("cpu"), torch.Generator(), Path(), log=losses.__setitem__, track=track)
    training.run_all(ctx, "training")
    return training, losses


def assert_alike(first, second):
    (one, one_losses), (other, other_losses) = first, second
    for name, tensor in one.save_state().items():
        torch.testing.assert_close(tensor, other.save_state()[name], rtol=1e-4, atol=1e-6, msg=name)
    for name, value in other_losses.items():
        assert one_losses[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5))


def test_two_processes_give_what_one_gives_with_a_batch_in_two_parts():
    assert_alike(train(replace(PLAN, parts=2)), train(replace(PLAN, devices=2)))


def test_members_compare_samples_in_the_same_space():
    plan, devices = replace(PLAN, parts=2), replace(PLAN, devices=2)
    assert_alike(train(plan, centred=True), train(devices, centred=True))


def test_a_team_resumes_a_run_where_it_stopped():
    alone = make_training(replace(PLAN, parts=2))
    for step in range(2):
        alone.run(step)
    assert_alike(train(replace(PLAN, parts=2)), train(replace(PLAN, devices=2), (2, alone.save_state())))


class Broken(PixelInputs):
    """Fails in the other member's process."""

    def take(self, indices, flips, noise):
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            raise RuntimeError("the disk is gone")
        return super().take(indices, flips, noise)


def test_a_member_that_fails_ends_the_run():
    training = make_training(replace(PLAN, devices=2), Broken)
    with pytest.raises(Exception, match=r"disk is gone|onnection"):
        training.run_all(RunContext(torch.device("cpu"), torch.Generator(), Path()), "training")
