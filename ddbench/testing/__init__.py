"""Contract suites that every plug-in passes; their authors inherit them in their own tests.

```python
from ddbench.testing import MethodContract, own_cache

class TestMine(MethodContract):
    name = "mine"
```
"""

from ddbench.testing.evaluator import EvaluatorContract
from ddbench.testing.method import MethodContract
from ddbench.testing.running import run_contract
from ddbench.testing.trial import SMOKE_PROTOCOL, own_cache

__all__ = ["SMOKE_PROTOCOL", "EvaluatorContract", "MethodContract", "own_cache", "run_contract"]
