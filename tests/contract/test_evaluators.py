"""The contract, run on every registered evaluator: a new evaluator is tested by being there."""

from __future__ import annotations

from ddbench.registry import EVALUATORS
from ddbench.testing import EvaluatorContract


def contract_of(name: str) -> type[EvaluatorContract]:
    """Return a test class for one evaluator."""
    return type(f"Test_{name}", (EvaluatorContract,), {"name": name, "__module__": __name__})


globals().update({f"Test_{name}": contract_of(name) for name in EVALUATORS.names()})


def test_every_evaluator_has_a_suite():
    assert {"accuracy", "coverage", "cross_architecture", "peak_memory", "wall_clock"} <= set(EVALUATORS.names())
    assert all(issubclass(globals()[f"Test_{name}"], EvaluatorContract) for name in EVALUATORS.names())
