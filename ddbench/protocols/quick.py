"""v1@f58e2342656b: convnet-d2-w32, 150 epochs, DSA: for small images and a first look."""

from __future__ import annotations

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.protocols._by_name import AUGMENTATION_FOR

PROTOCOL = PROTOCOLS.register("quick")(
    Protocol(
        name="quick",
        version=1,
        network="convnet-d2-w32",
        schedule=Schedule(epochs=150, drop_at=100),
        real_schedule=Schedule(epochs=40, drop_at=30),
        lr=0.05,
        batch_size=128,
        augmentation=DSA_STRATEGY,
        augmentation_for=AUGMENTATION_FOR,
    )
)
