"""A training that was interrupted goes on to the bits of one that was not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.method import RunContext, make_method
from ddbench.methods._coresets.training_scores import SCORES_FILE, TrainingScores
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan
from ddbench.students.resuming import TrainingState
from ddbench.students.trainer import train_network
from tests._keeper import Keeper, KilledError
from tests.students._toy_trainer import CPU, toy_real

PLAN = TrainingPlan(Schedule(epochs=5, drop_at=2), lr=0.05, batch_size=4, augmentation="crop_scale")
KEPT = replace(PLAN, resets_momentum=False)
AVERAGED = replace(KEPT, average=0.8)
CURVE = replace(KEPT, schedule=Schedule(epochs=5, curve="half cosine"), optimiser="adamw", decays="weights")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(spec, plan, track=None, also=None):
    real, generator = toy_real(), seeded(3)
    network = make_network(spec, InputShape.of(real.info), generator)
    train_network(network, real.train, plan, generator, *([] if track is None else [track]), **{"also": also})
    return {**network.state_dict(), "generator": generator.get_state()}


@pytest.mark.parametrize("spec", ["mlp-w4", "convnet-d2-w4-bn"])
@pytest.mark.parametrize(
    "plan", [PLAN, KEPT, AVERAGED, CURVE], ids=["new momentum", "kept momentum", "average", "adamw on a curve"]
)
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_resumed_training_has_the_bits_of_one_that_was_never_stopped(spec, plan, after):
    expected, keeper = trained(spec, plan), Keeper(after)
    with pytest.raises(KilledError):
        trained(spec, plan, keeper)
    found = trained(spec, plan, keeper)
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

    keeper = Keeper(2)
    with pytest.raises(KilledError):
        prepared("stopped", keeper)
    assert prepared("resumed", keeper) == prepared("whole", None)


def test_no_state_before_the_training_has_begun():
    with pytest.raises(RuntimeError, match="no optimiser yet"):
        TrainingState(torch.nn.Linear(2, 2), seeded()).save_state()
