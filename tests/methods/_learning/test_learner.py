"""Tests of learned tensors: steps are SGD's, and a saved state goes on with the same numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from ddbench.methods._learning.learner import Learner


def make(momenta: tuple[float, float] = (0.5, 0.5)) -> Learner:
    """Two tensors of different rates, as images and a student's rate are."""
    draws = torch.Generator().manual_seed(1)
    images, lr = torch.randn(3, 2, generator=draws).requires_grad_(), torch.tensor(0.25, requires_grad=True)
    groups = [
        {"params": [images], "lr": 0.1, "momentum": momenta[0]},
        {"params": [lr], "lr": 0.01, "momentum": momenta[1]},
    ]
    return Learner(torch.optim.SGD(groups), torch.Generator().manual_seed(2))


def loss_of(learner: Learner) -> Tensor:
    """A loss that depends on both tensors and on a draw."""
    images, lr = learner.tensors
    return ((images - torch.randn(3, 2, generator=learner.generator)) ** 2).sum() * (1 + lr**2)


def run(learner: Learner, steps: int) -> list[Tensor]:
    for _ in range(steps):
        learner.step(loss_of(learner))
    return [tensor.detach().clone() for tensor in learner.tensors]


def test_a_step_is_sgd_with_momentum():
    learner = make()
    values, speeds = [tensor.detach().double() for tensor in learner.tensors], [0.0, 0.0]
    for _ in range(3):
        loss = loss_of(learner)
        gradients = torch.autograd.grad(loss, learner.tensors, retain_graph=True)
        for index, (gradient, rate) in enumerate(zip(gradients, (0.1, 0.01), strict=True)):
            speeds[index] = 0.5 * speeds[index] + gradient.double()
            values[index] = values[index] - rate * speeds[index]
        learner.step(loss)
    for found, expected in zip(learner.tensors, values, strict=True):
        torch.testing.assert_close(found.detach().double(), expected, rtol=1e-6, atol=1e-6)


def test_descending_a_gradient_is_the_step_of_its_loss():
    by_loss, by_gradient = make(), make()
    for _ in range(3):
        by_loss.step(loss_of(by_loss))
        by_gradient.descend(torch.autograd.grad(loss_of(by_gradient), by_gradient.tensors))
        assert all(map(torch.equal, by_loss.tensors, by_gradient.tensors))


def test_every_tensor_needs_a_gradient():
    learner = make()
    with pytest.raises(ValueError, match="zip"):
        learner.descend([torch.zeros(3, 2)])


@pytest.mark.parametrize("momenta", [(0.5, 0.5), (0.0, 0.0), (0.5, 0.0)], ids=["momentum", "none", "one"])
@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_saved_state_goes_on_with_the_same_numbers(done, momenta):
    expected = run(make(momenta), 7)
    stopped, resumed = make(momenta), make(momenta)
    run(stopped, done)
    run(resumed, 2)  # what it did before is forgotten
    state = load(save(stopped.save_state()))
    if done == 0:  # nothing to restore momentum from: only a fresh process may take such a state up
        resumed = make(momenta)
    resumed.load_state(state)
    assert all(map(torch.equal, run(resumed, 7 - done), expected))
    assert torch.equal(resumed.generator.get_state(), replay(7).get_state())


def replay(steps: int) -> torch.Generator:
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        torch.randn(3, 2, generator=generator)
    return generator


@pytest.mark.parametrize("left_out", ["momentum.0", "momentum.1", "generator"])
def test_each_part_of_the_state_counts(left_out):
    expected = run(make(), 7)
    stopped, resumed = make(), make()
    run(stopped, 4)
    state = stopped.save_state()
    if left_out == "generator":
        state["generator"] = torch.Generator().manual_seed(3).get_state()
    else:
        del state[left_out]
    resumed.load_state(state)
    assert not all(map(torch.equal, run(resumed, 3), expected))


def test_a_state_is_a_copy():
    learner = make()
    run(learner, 1)
    state = learner.save_state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    run(learner, 2)
    assert state.keys() == {"generator", "tensor.0", "tensor.1", "momentum.0", "momentum.1"}
    assert all(torch.equal(state[name], before[name]) for name in state)
    other = make()
    other.load_state(state)
    run(other, 2)
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_a_restored_tensor_is_still_the_one_the_loop_holds():
    learner = make()
    images, lr = learner.tensors
    learner.load_state({**make().save_state(), "tensor.1": torch.tensor(0.5)})
    assert lr.item() == 0.5
    assert learner.tensors[0] is images
    assert images.requires_grad
    assert lr.is_leaf


@pytest.mark.parametrize("name", ["generator", "tensor.0", "tensor.1"])
def test_a_state_that_lacks_a_part_is_refused(name):
    state = make().save_state()
    del state[name]
    with pytest.raises(KeyError, match=name):
        make().load_state(state)
