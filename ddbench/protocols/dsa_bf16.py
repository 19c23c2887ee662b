"""v1@12a4225b89fd: `dsa` in bf16.

Where the processor computes in it, in half the time. Never in one table with `dsa` unless asked for, although no
difference was found: README.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS

PROTOCOL = PROTOCOLS.register("dsa-bf16")(
    PROTOCOLS.get("dsa").model_copy(update={"name": "dsa-bf16", "precision": "bf16"})
)
