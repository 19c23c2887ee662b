"""A training that was interrupted goes on to the bits of one that was not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from ddbench.errors import DDBenchError
from ddbench.method import RunContext, make_method
from ddbench.methods._coresets.training_scores import SCORES_FILE, TrainingScores
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan
from ddbench.students.resuming import TrainingState
from ddbench.students.trainer import train_network
from tests.students._toy_trainer import CPU, toy_real

PLAN = TrainingPlan(Schedule(epochs=5, drop_at=2), lr=0.05, batch_size=4, augmentation="crop_scale")
KEPT = replace(PLAN, resets_momentum=False)
CURVE = replace(KEPT, schedule=Schedule(epochs=5, curve="half cosine"), optimiser="adamw", decays="weights")


class StoppedError(DDBenchError):
    """The process is gone."""


class Interrupted:
    """A tracker that keeps the state after some items and ends the run, and one that begins there."""

    def __init__(self, after: int) -> None:
        self.after, self.kept = after, None

    def stop(self, iterable, description, state=None):
        for index, item in enumerate(iterable):
            yield item
            if index + 1 == self.after:
                self.kept = load(save({name: value.contiguous() for name, value in state.save_state().items()}))
                raise StoppedError

    def go_on(self, iterable, description, state=None):
        state.load_state({name: value.clone() for name, value in self.kept.items()})
        yield from list(iterable)[self.after :]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(spec, plan, track=None, also=None):
    real, generator = toy_real(), seeded(3)
    network = make_network(spec, InputShape.of(real.info), generator)
    train_network(network, real.train, plan, generator, *([] if track is None else [track]), **{"also": also})
    return {**network.state_dict(), "generator": generator.get_state()}


@pytest.mark.parametrize("spec", ["mlp-w4", "convnet-d2-w4-bn"])
@pytest.mark.parametrize("plan", [PLAN, KEPT, CURVE], ids=["new momentum", "kept momentum", "adamw on a curve"])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_resumed_training_has_the_bits_of_one_that_was_never_stopped(spec, plan, after):
    expected, interrupted = trained(spec, plan), Interrupted(after)
    with pytest.raises(StoppedError):
        trained(spec, plan, interrupted.stop)
    found = trained(spec, plan, interrupted.go_on)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_what_changes_beside_it_is_kept_with_it():
    scores = TrainingScores(4, el2n_epochs=2)
    for at in range(3):
        scores.update(torch.rand(4, 3, generator=seeded(at)).sub(0.5))
    network, generator = torch.nn.Linear(2, 2), seeded()
    state = TrainingState(network, generator, scores)
    state.optimiser = torch.optim.SGD(network.parameters(), 0.1)
    other = TrainingScores(4, el2n_epochs=2)
    again = TrainingState(network, seeded(1), other)
    again.optimiser = torch.optim.SGD(network.parameters(), 0.1)
    again.load_state(state.save_state())
    for each in (scores, other):
        each.update(torch.rand(4, 3, generator=seeded(9)).sub(0.5))
    assert all(torch.equal(value, other.tensors()[name]) for name, value in scores.tensors().items())


def test_scores_of_a_resumed_training_are_those_of_one_run(tmp_path):
    def prepared(name, track):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        method = make_method("forgetting", {"score_network": "mlp-w4", "score_epochs": 4})
        ctx = RunContext(CPU, seeded(5), folder, **({} if track is None else {"track": track}))
        return (method.prepare(toy_real().train, ctx) / SCORES_FILE).read_bytes()

    interrupted = Interrupted(2)
    with pytest.raises(StoppedError):
        prepared("stopped", interrupted.stop)
    assert prepared("resumed", interrupted.go_on) == prepared("whole", None)


def test_no_state_before_the_training_has_begun():
    with pytest.raises(RuntimeError, match="no optimiser yet"):
        TrainingState(torch.nn.Linear(2, 2), seeded()).save_state()
