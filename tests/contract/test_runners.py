"""The contract, run on every registered runner: a new runner is tested by being there."""

from __future__ import annotations

import pytest

from ddbench.registry import RUNNERS
from ddbench.testing import RunnerContract


class TestLocalSideBySide(RunnerContract):
    """This machine, two at once, in processes of their own."""

    name = "local"
    jobs = 2
    pytestmark = pytest.mark.slow


def contract_of(name: str) -> type[RunnerContract]:
    """Return a test class for one runner."""
    marks = [pytest.mark.slow] if name == "ray" else []
    return type(f"Test_{name}", (RunnerContract,), {"name": name, "__module__": __name__, "pytestmark": marks})


globals().update({f"Test_{name}": contract_of(name) for name in RUNNERS.names()})


def test_every_runner_has_a_suite():
    assert {"local", "ray"} <= set(RUNNERS.names())
    assert all(issubclass(globals()[f"Test_{name}"], RunnerContract) for name in RUNNERS.names())
