"""Tests of optimisers, of which parameters decay, and of the average of weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ddbench.images import DatasetInfo
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student
from ddbench.students.optimiser import WeightAverage, change_lr, make_optimiser, norms_moved_by, parameter_groups
from ddbench.training_recipe import BestOf, Mixup

INFO = DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.5,) * 3, (0.25,) * 3, "")
PLAN = TrainingPlan(
    Schedule(epochs=4, curve="half cosine"),
    lr=0.01,
    batch_size=4,
    augmentation="",
    weight_decay=0.05,
    resets_momentum=False,
    optimiser="adamw",
    decays="weights",
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def toy_network(spec="convnet-d1-w4", seed=0):
    return make_network(spec, InputShape(3, 8, 3), seeded(seed)).double()


def toy_set():
    images = torch.randn(10, 3, 8, 8, generator=seeded(1), dtype=torch.float64)
    return TrainingSet(images, torch.arange(10) % 3, INFO)


def vector_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def changed(plan, **changes):
    return TrainingPlan(**{**vars(plan), **changes})


def naive_adamw(network, data, plan, generator):
    """AdamW written out (Loshchilov, Hutter, ICLR 2019, algorithm 2); returns the average of weights."""
    named = list(network.named_parameters())
    first, second = ([torch.zeros_like(weight) for _, weight in named] for _ in range(2))
    average, step = [weight.detach().clone() for _, weight in named], 0
    for epoch in range(plan.schedule.epochs):
        lr = plan.lr * (1 + torch.cos(torch.tensor(torch.pi * epoch / plan.schedule.epochs / 2).double()).item()) / 2
        for chosen in torch.randperm(len(data.images), generator=generator).split(plan.batch_size):
            step += 1
            loss = nn.functional.cross_entropy(network(data.images[chosen]), data.labels[chosen])
            gradients = torch.autograd.grad(loss, [weight for _, weight in named])
            for at, ((name, weight), gradient) in enumerate(zip(named, gradients, strict=True)):
                decay = plan.weight_decay if plan.decays == "all" or ("weight" in name and weight.dim() > 1) else 0
                first[at] = 0.9 * first[at] + 0.1 * gradient
                second[at] = 0.999 * second[at] + 0.001 * gradient**2
                moved = (first[at] / (1 - 0.9**step)) / ((second[at] / (1 - 0.999**step)).sqrt() + 1e-8)
                weight.data = weight.data - lr * decay * weight.data - lr * moved
                average[at] = plan.average * average[at] + (1 - plan.average) * weight.data
    return torch.cat([value.flatten() for value in average])


@pytest.mark.parametrize("decays", ["all", "weights"])
@pytest.mark.parametrize("average", [0.0, 0.7])
def test_training_by_adamw_along_a_curve_equals_a_plain_loop(decays, average):
    plan, network, expected = changed(PLAN, decays=decays, average=average), toy_network(), toy_network()
    averaged = naive_adamw(expected, toy_set(), plan, seeded(9))
    train_student(network, toy_set(), plan, seeded(9))
    target = averaged if average else vector_of(expected)
    assert (vector_of(network) - target).norm() / target.norm() < 1e-9
    assert (vector_of(toy_network()) - target).norm() > 1e-3


def test_norms_and_biases_do_not_decay_under_weights():
    network = toy_network("resnet10-bn")
    decaying, rest = parameter_groups(network, PLAN)
    assert "weight_decay" not in decaying
    assert rest["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decaying["params"])
    assert all(parameter.ndim == 1 for parameter in rest["params"])
    assert sum(len(group["params"]) for group in (decaying, rest)) == len(list(network.parameters()))


def test_another_rate_keeps_adams_moments():
    network = toy_network()
    optimiser = make_optimiser(network, PLAN, 0.1)
    nn.functional.cross_entropy(network(toy_set().images), toy_set().labels).backward()
    optimiser.step()
    assert change_lr(network, optimiser, PLAN, 0.01) is optimiser
    assert {group["lr"] for group in optimiser.param_groups} == {0.01}
    anew = change_lr(network, optimiser, changed(PLAN, resets_momentum=True), 0.01)
    assert anew is not optimiser
    assert not anew.state


def test_a_lent_average_gives_the_parameters_back():
    network = toy_network()
    average, before = WeightAverage(network, 0.5), vector_of(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    average.update()
    with average.in_place():
        torch.testing.assert_close(vector_of(network), before + 0.5)
    torch.testing.assert_close(vector_of(network), before + 1)


@pytest.mark.parametrize("momentum", [0.1, 0.01])
def test_two_passes_of_every_batch_move_statistics_as_one_that_counts_twice(momentum):
    once, twice = toy_network("convnet-d2-w4-bn"), toy_network("convnet-d2-w4-bn")
    norms = [module for network in (once, twice) for module in network.modules() if hasattr(module, "momentum")]
    for norm in norms:
        norm.momentum = momentum
    with norms_moved_by(once, 2):
        for images in toy_set().images.split(5):
            once.train()(images)
            twice.train()(images)
            twice(images)
    for name, value in once.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, twice.state_dict()[name])
    assert {norm.momentum for norm in norms} == {momentum}


def test_a_networks_own_momentum_counts_where_a_protocol_says_nothing():
    network = toy_network("convnet-d2-w4-bn")
    seen, norm = [], next(module for module in network.modules() if hasattr(module, "momentum"))
    norm.momentum = 0.01
    network.register_forward_pre_hook(lambda module, inputs: seen.append(norm.momentum))
    train_student(network, toy_set(), PLAN, seeded(9))
    assert set(seen) == {0.01}


def test_the_network_is_shown_at_the_epochs_of_the_best_and_goes_on_as_if_it_were_not():
    seen, plan = [], changed(PLAN, best_of=BestOf(every=2, at=0), average=0.5)
    network, unseen = toy_network("convnet-d1-w4-bn"), toy_network("convnet-d1-w4-bn")
    train_student(network, toy_set(), plan, seeded(9), look=lambda shown: seen.append(vector_of(shown.eval())))
    train_student(unseen, toy_set(), changed(plan, best_of=None), seeded(9))
    assert len(seen) == 3  # epochs 0, 2 and 3, the last
    torch.testing.assert_close(vector_of(network), vector_of(unseen), rtol=0, atol=0)
    torch.testing.assert_close(seen[-1], vector_of(network), rtol=0, atol=0)
    assert (seen[0] - seen[1]).norm() > 1e-3


def test_mixed_images_bring_mixed_labels():
    plan, seen = changed(PLAN, mixup=Mixup(alpha=0.8), schedule=Schedule(epochs=1, curve="cosine")), []
    network = toy_network()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(copy.deepcopy(inputs[0])))
    train_student(network, toy_set(), plan, seeded(9))
    assert len(seen) == 3
    assert not any((image == toy_set().images).flatten(1).all(1).any() for image in torch.cat(seen))
