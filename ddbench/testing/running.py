"""Run a contract by name, as `ddbench check` does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


def run_contract(name: str) -> int:
    """Run the contract suite on one method with pytest and return its exit code, 0 where all tests passed."""
    source = (
        "from ddbench.testing import MethodContract, own_cache\n\n"
        f"class TestContract(MethodContract):\n    name = {name!r}\n"
    )
    with tempfile.TemporaryDirectory(prefix="ddbench-check-") as folder:
        path = Path(folder) / "test_contract.py"
        path.write_text(source, encoding="utf-8")
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        arguments = ["-v", "--no-header", "-p", "no:cacheprovider", "--rootdir", folder, "-c", f"{folder}/pytest.ini"]
        # Imported under its name alone, the file of a second run would clash with that of the first.
        arguments.append("--import-mode=importlib")
        return int(pytest.main([*arguments, str(path)]) != 0)
