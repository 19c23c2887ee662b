"""v1@15306f69824f: `dsa` in TF32.

In products and convolutions, as torch's convolutions have it by default on newer GPUs; on a GPU only.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS

PROTOCOL = PROTOCOLS.register("dsa-tf32")(
    PROTOCOLS.get("dsa").model_copy(update={"name": "dsa-tf32", "precision": "tf32"})
)
