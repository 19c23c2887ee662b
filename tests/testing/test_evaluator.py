"""Tests of the contract of evaluators: one broken on purpose fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ddbench.evaluator import DistillRun, Evaluator
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric
from ddbench.registry import EVALUATORS
from ddbench.testing import run_contract

FINITE = "metrics are finite and named once"
SAME = "same seed gives the same metrics"


class Constant(Evaluator):
    """A sound evaluator; the broken ones change one thing."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        return (Metric(name="half", unit="fraction", higher_is_better=True, values=self.values()),)

    def values(self) -> tuple[float, ...]:
        return (0.5,)


class NamedTwice(Constant):
    """Gives two metrics of one name."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return super().evaluate(*arguments) * 2


class WithoutUnit(Constant):
    """Gives a metric without a unit."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return (super().evaluate(*arguments)[0].model_copy(update={"unit": ""}),)


class ChangesTheSet(Constant):
    """Changes the set it judges."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        run.distilled.images.zero_()
        return super().evaluate(run, real, ctx)


class MeasuresNothing(Constant):
    """Gives no metric."""

    def evaluate(self, *arguments: Any) -> tuple[Metric, ...]:
        return ()


class NotANumber(Constant):
    """Gives NaN."""

    def values(self) -> tuple[float, ...]:
        return (float("nan"),)


class NoValues(Constant):
    """Gives a metric without values."""

    def values(self) -> tuple[float, ...]:
        return ()


class GloballyRandom(Constant):
    """Draws from the global generator."""

    def values(self) -> tuple[float, ...]:
        return (torch.rand(()).item(),)


def failures(evaluator: type[Evaluator], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setitem(EVALUATORS._entries, "candidate", evaluator)
    return {outcome.rule for outcome in run_contract("evaluator", "candidate") if not outcome.holds}


def test_a_sound_evaluator_passes(monkeypatch):
    assert failures(Constant, monkeypatch) == set()


@pytest.mark.parametrize("broken", [NamedTwice, WithoutUnit, ChangesTheSet, MeasuresNothing, NotANumber, NoValues])
def test_an_evaluator_of_unusable_metrics_fails(broken, monkeypatch):
    assert FINITE in failures(broken, monkeypatch)


def test_an_evaluator_that_is_random_fails(monkeypatch):
    assert failures(GloballyRandom, monkeypatch) == {SAME}
