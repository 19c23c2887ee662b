"""v1@e223d5f8c122: convnet-d3, 301 epochs, no augmentation: the evaluation of DC.

Checked against VICO-UoE/DatasetCondensation, as `dsa`; the whole-data schedule is our choice.
"""

from __future__ import annotations

from ddbench.protocol import PROTOCOLS, Protocol, Schedule

PROTOCOL = PROTOCOLS.register("dc")(
    Protocol(
        name="dc",
        version=1,
        network="convnet-d3",
        schedule=Schedule(epochs=301, drop_at=152),
        schedule_for={"mnist": Schedule(epochs=1001, drop_at=502)},
        real_schedule=Schedule(epochs=100, drop_at=50),
        augmentation="",
        augmentation_for={"mnist": "crop_scale_rotate"},
    )
)
