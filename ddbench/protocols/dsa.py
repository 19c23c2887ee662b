"""v1@a28e5b1fc625: convnet-d3, 1001 epochs, DSA: the evaluation of DSA, DM and MTT.

Checked against VICO-UoE/DatasetCondensation: epoch counts and drops are the reference loops' (they run one pass more
than the papers say); the whole-data schedule is our choice, because no repository of the family contains one.
"""

from __future__ import annotations

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._by_name import AUGMENTATION_FOR

PROTOCOL = PROTOCOLS.register("dsa")(
    Protocol(
        name="dsa",
        version=1,
        network="convnet-d3",
        schedule=Schedule(epochs=1001, drop_at=502),
        real_schedule=Schedule(epochs=200, drop_at=100),
        augmentation=DSA_STRATEGY,
        augmentation_for=AUGMENTATION_FOR,
    )
)
