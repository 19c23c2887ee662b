"""Brief: 20 epochs of the linear network under DSA, for images small enough to try things on."""

from __future__ import annotations

from ddbench.plugin import Protocol, Schedule

PROTOCOL = Protocol(
    name="brief",
    version=1,
    network="linear",
    schedule=Schedule(epochs=20, drop_at=15),
    real_schedule=Schedule(epochs=10, drop_at=8),
    lr=0.05,
    augmentation="crop_flip_scale",
)
