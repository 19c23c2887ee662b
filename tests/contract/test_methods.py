"""The contract, run on every registered method: a new method is tested by being there."""

from __future__ import annotations

from ddbench.registry import METHODS
from ddbench.testing import MethodContract, own_cache

__all__ = ["own_cache"]


def contract_of(name: str) -> type[MethodContract]:
    """Return a test class for one method."""
    attributes = {"name": name, "unchanged": ("devices",), "__module__": __name__}  # `devices` starts processes
    return type(f"Test_{name}", (MethodContract,), attributes)


globals().update({f"Test_{name}": contract_of(name) for name in METHODS.names()})


def test_every_method_has_a_suite():
    assert {"dc", "dm", "dsa", "full_real", "herding", "k_center", "k_means", "random_real"} <= set(METHODS.names())
    assert all(issubclass(globals()[f"Test_{name}"], MethodContract) for name in METHODS.names())
