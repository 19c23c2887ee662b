"""The contract, run on every registered protocol: a new protocol is tested by being there."""

from __future__ import annotations

from ddbench.registry import PROTOCOLS
from ddbench.testing import ProtocolContract, own_cache

__all__ = ["own_cache"]


def contract_of(name: str) -> type[ProtocolContract]:
    """Return a test class for one protocol."""
    return type(f"Test_{name}", (ProtocolContract,), {"name": name, "__module__": __name__})


globals().update({f"Test_{name}": contract_of(name) for name in PROTOCOLS.names()})


def test_every_protocol_has_a_suite():
    assert {"dsa", "dsa-bf16", "dsa-tf32", "dc", "quick", "imagenet-hard", "soft-label"} <= set(PROTOCOLS.names())
    assert all(issubclass(globals()[f"Test_{name}"], ProtocolContract) for name in PROTOCOLS.names())
