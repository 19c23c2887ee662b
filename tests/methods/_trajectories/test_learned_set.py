"""Tests of what matching learns: labels by the softmax of logits, and the checks of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.methods._trajectories.learned_set import LearnedSet, StepCheck
from ddbench.methods._trajectories.meta_gradient import MetaGradient


@pytest.fixture
def soft(generator) -> LearnedSet:
    """Two images with the logits of three classes."""
    logits = torch.randn(2, 3, generator=generator)
    return LearnedSet(torch.randn(2, 1, 4, 4, generator=generator), torch.tensor(0.1), logits)


@pytest.fixture
def hard(soft) -> LearnedSet:
    """The same images with labels that stay."""
    return replace(soft, labels=torch.tensor([2, 0]))


def gradient_of(learned: LearnedSet, by_labels: torch.Tensor | None = None) -> MetaGradient:
    return MetaGradient(torch.tensor(0.5), learned.images * 2, torch.tensor(3.0), by_labels)


def test_hard_labels_are_shown_and_kept_as_they_are(hard):
    assert hard.shown_labels().tolist() == [2, 0]
    assert list(hard.learnable) == ["images", "lr"]
    found = gradient_of(hard)
    assert [part is given for part, given in zip(hard.gradients(found), (found.images, found.lr), strict=True)]


def test_soft_labels_are_shown_as_probabilities_and_learned_as_logits(soft, generator):
    leaf, weights = soft.labels.clone().requires_grad_(), torch.randn(2, 3, generator=generator)
    shares = leaf.exp() / leaf.exp().sum(1, keepdim=True)
    torch.testing.assert_close(soft.shown_labels(), shares.detach())
    (expected,) = torch.autograd.grad((shares * weights).sum(), leaf)
    assert list(soft.learnable) == ["images", "lr", "labels"]
    torch.testing.assert_close(soft.gradients(gradient_of(soft, weights))[2], expected)


def test_a_copy_stays_when_the_set_moves(soft):
    soft.images.requires_grad_()
    copy = soft.copied()
    with torch.no_grad():
        soft.images.add_(1)
    assert not copy.images.requires_grad
    assert torch.equal(copy.images + 1, soft.images.detach())


def check(learned: LearnedSet, found: MetaGradient) -> str:
    seen = StepCheck.of(found, learned)
    return seen.diagnose_gradient() or seen.diagnose_step(0.1, 1.0)


def test_each_part_that_is_not_finite_is_named(soft, hard):
    bad, good = torch.full((2, 3), float("nan")), gradient_of(soft, torch.ones(2, 3))
    assert check(soft, good) == check(hard, gradient_of(hard)) == ""
    assert check(soft, replace(good, loss=torch.tensor(float("inf")))).startswith("the matching loss is inf")
    assert check(soft, replace(good, labels=bad)).startswith("the gradient is not finite at loss 0.5")
    assert check(replace(soft, labels=bad), good).startswith("the labels are not finite; lower label_lr")
    assert check(replace(soft, images=soft.images / 0), good).startswith("the images are not finite")
    assert check(replace(soft, lr=torch.tensor(2.0)), good).startswith("student_lr left its range, 0.1 to 1, for 2;")
