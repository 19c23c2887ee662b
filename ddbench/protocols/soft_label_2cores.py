"""v1@2fddd27782de: `imagenet-hard-2cores` with soft labels of a convnet-d4-w32-bn at temperature 20.

For trying things out: its numbers are comparable with nothing published.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS
from ddbench.training_recipe import Teacher

HARD = PROTOCOLS.get("imagenet-hard-2cores")
PROTOCOL = PROTOCOLS.register("soft-label-2cores")(
    HARD.model_copy(
        update={
            "name": "soft-label-2cores",
            "teacher": Teacher(
                network="convnet-d4-w32-bn", schedule=HARD.real_schedule, seed=0, temperature=20.0, loss="kl"
            ),
        }
    )
)
