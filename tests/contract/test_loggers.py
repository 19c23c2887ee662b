"""The contract, run on every registered logger: a new logger is tested by being there."""

from __future__ import annotations

from ddbench.registry import LOGGERS
from ddbench.testing import LoggerContract


def contract_of(name: str) -> type[LoggerContract]:
    """Return a test class for one logger."""
    return type(f"Test_{name}", (LoggerContract,), {"name": name, "__module__": __name__})


globals().update({f"Test_{name}": contract_of(name) for name in LOGGERS.names()})


def test_every_logger_has_a_suite():
    assert {"tensorboard", "wandb", "mlflow"} <= set(LOGGERS.names())
    assert all(issubclass(globals()[f"Test_{name}"], LoggerContract) for name in LOGGERS.names())
