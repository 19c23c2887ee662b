"""Tests of soft labels, against the divergence written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ddbench.network import InputShape, make_network
from ddbench.students.soft_labels import SoftLabels, soft_label_loss


def logits(seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def naive_distribution(row: list[float], temperature: float) -> list[float]:
    weights = [math.exp(value / temperature) for value in row]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_loss_is_the_mean_divergence_times_the_squared_temperature(temperature):
    student, teacher = logits(0), logits(1)
    total = 0.0
    for own, other in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = naive_distribution(other, temperature), naive_distribution(own, temperature)
        total += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
    expected = temperature**2 * total / 4
    assert soft_label_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-9)


def test_equal_logits_but_for_a_constant_have_no_loss():
    assert soft_label_loss(logits(0) + 7, logits(0), 20.0).item() == pytest.approx(0, abs=1e-12)


def test_at_a_high_temperature_the_gradient_is_that_of_the_squared_distance_and_not_smaller():
    student = logits(0).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_label_loss(student, logits(1), 1000.0), student)
    difference = student.detach() - logits(1)
    expected = (difference - difference.mean(1, keepdim=True)) / 5 / 4
    torch.testing.assert_close(gradient, expected, rtol=0.02, atol=1e-3)


def test_a_teacher_sees_the_same_images_in_evaluation_mode_and_learns_nothing():
    network = make_network("convnet-d1-w4-bn", InputShape(3, 8, 5), torch.Generator().manual_seed(0))
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    soft = SoftLabels.of(network, 20.0)
    student = torch.zeros(6, 5, requires_grad=True)
    soft.loss(student, soft.targets(images)).backward()
    assert not network.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        expected = soft_label_loss(student, network.eval()(images), 20.0)
    torch.testing.assert_close(soft.loss(student, soft.targets(images)), expected)


def test_losses_are_those_of_the_papers():
    student, teacher, own = logits(0), logits(1), torch.arange(len(logits(0))) % 5
    plain = torch.zeros((), dtype=student.dtype)
    for row, target in zip(student, teacher, strict=True):
        p, q = (target / 20).softmax(0), (row / 20).softmax(0)
        plain = plain + sum(p[k] * (p[k].log() - q[k].log()) for k in range(len(p)))
    plain = plain / len(student)
    squared = sum((a - b) ** 2 for a, b in zip(student.flatten(), teacher.flatten(), strict=True)) / student.numel()
    entropy = -sum(row.softmax(0)[label].log() for row, label in zip(student, own, strict=True)) / len(own)
    for kind, weight, expected in (
        ("kl", 0.0, plain * 400),
        ("kl-unscaled", 0.0, plain),
        ("mse", 0.025, squared + 0.025 * entropy),
        ("mse", 0.0, squared),
    ):
        soft = SoftLabels(torch.nn.Identity(), 20.0, kind, weight)
        torch.testing.assert_close(soft.loss(student, teacher, own), expected)
    with pytest.raises(RuntimeError, match="needs the set's own labels"):
        SoftLabels(torch.nn.Identity(), 20.0, "mse", 0.1).loss(student, teacher)
