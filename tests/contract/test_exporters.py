"""The contract, run on every registered exporter: a new exporter is tested by being there."""

from __future__ import annotations

from ddbench.registry import EXPORTERS
from ddbench.testing import ExporterContract, own_cache

__all__ = ["own_cache"]


def contract_of(name: str) -> type[ExporterContract]:
    """Return a test class for one exporter."""
    return type(f"Test_{name}", (ExporterContract,), {"name": name, "__module__": __name__})


globals().update({f"Test_{name}": contract_of(name) for name in EXPORTERS.names()})


def test_every_exporter_has_a_suite():
    assert {"image-folder", "tensors", "huggingface", "webdataset", "dd-ranking"} <= set(EXPORTERS.names())
    assert all(issubclass(globals()[f"Test_{name}"], ExporterContract) for name in EXPORTERS.names())
