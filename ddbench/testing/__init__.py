"""Contract suites that every plug-in passes; their authors inherit them in their own tests, which needs pytest.

```python
from ddbench.testing import MethodContract, own_cache

class TestMine(MethodContract):
    name = "mine"
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.lazy import lazy_names

if TYPE_CHECKING:
    from ddbench.testing.dataset import DatasetContract
    from ddbench.testing.evaluator import EvaluatorContract
    from ddbench.testing.exporter import ExporterContract
    from ddbench.testing.importer import ImporterContract
    from ddbench.testing.logger import LoggerContract
    from ddbench.testing.method import MethodContract
    from ddbench.testing.network import NetworkContract
    from ddbench.testing.protocol import ProtocolContract
    from ddbench.testing.runner import RunnerContract
    from ddbench.testing.running import Outcome, run_contract
    from ddbench.testing.trial import SMOKE_PROTOCOL, own_cache

# Found when first asked for: running a contract must be able to say that pytest is missing.
_HOMES = {
    "SMOKE_PROTOCOL": "trial",
    "DatasetContract": "dataset",
    "EvaluatorContract": "evaluator",
    "ExporterContract": "exporter",
    "ImporterContract": "importer",
    "LoggerContract": "logger",
    "MethodContract": "method",
    "NetworkContract": "network",
    "Outcome": "running",
    "ProtocolContract": "protocol",
    "RunnerContract": "runner",
    "own_cache": "trial",
    "run_contract": "running",
}

__all__ = [
    "SMOKE_PROTOCOL",
    "DatasetContract",
    "EvaluatorContract",
    "ExporterContract",
    "ImporterContract",
    "LoggerContract",
    "MethodContract",
    "NetworkContract",
    "Outcome",
    "ProtocolContract",
    "RunnerContract",
    "own_cache",
    "run_contract",
]

__getattr__ = lazy_names(__name__, {name: f"ddbench.testing.{home}" for name, home in _HOMES.items()})
