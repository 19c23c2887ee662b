"""Evaluation protocols: frozen, named, versioned and hashed, so that two numbers are comparable or visibly not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ddbench.errors import UnknownNameError
from ddbench.registry import suggest

DSA_STRATEGY = "color_crop_cutout_flip_scale_rotate"
DSA_STRATEGY_NO_FLIP = "color_crop_cutout_scale_rotate"
# A mirrored digit is another shape: reference code leaves `flip` out for these (DSA repository, per data set).
NO_FLIP_DATASETS = ("digits", "mnist", "svhn")


def dsa_strategy(dataset: str) -> str:
    """Return the DSA strategy string for a data set name."""
    return DSA_STRATEGY_NO_FLIP if dataset in NO_FLIP_DATASETS else DSA_STRATEGY


class Schedule(BaseModel):
    """Length of a training run: `epochs` passes, the learning rate multiplied by 0.1 from epoch index `drop_at` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    epochs: int = Field(gt=0)
    drop_at: int = Field(gt=0)


class Protocol(BaseModel):
    """How students are trained and judged. Every field is part of the hash.

    Attributes:
        network: default student; an evaluation on another network is another row, not another protocol.
        schedule: for distilled sets; `schedule_for` overrides it for named data sets.
        real_schedule: for `full_real`, whose epochs are thousands of times longer.
        lr: SGD learning rate; a distilled set's learned `student_lr` takes its place.
        resets_momentum: the optimiser is made anew at the drop, as in the reference code.
        augmentation: DSA strategy for each batch, empty for none; `augmentation_for` overrides it by data set.
        precision: of the training arithmetic.
        reported: which epoch's accuracy counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: int = Field(ge=1)
    network: str
    schedule: Schedule
    schedule_for: Mapping[str, Schedule] = {}
    real_schedule: Schedule
    optimiser: Literal["sgd"] = "sgd"
    lr: float = 0.01
    lr_drop: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    resets_momentum: bool = True
    batch_size: int = 256
    augmentation: str = ""
    augmentation_for: Mapping[str, str] = {}
    precision: Literal["fp32"] = "fp32"
    reported: Literal["last epoch"] = "last epoch"

    @property
    def hash(self) -> str:
        """Content hash, 12 hexadecimal digits: equal exactly where every field is equal.

        Fields at their default stay out of it, so that a field added later leaves the hash of older protocols alone. A
        default must therefore never change: `tests/golden/protocols.json` holds every field of every version.
        """
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def schedule_of(self, dataset: str, *, is_full_real: bool) -> Schedule:
        """Return the schedule for a data set name."""
        return self.real_schedule if is_full_real else self.schedule_for.get(dataset, self.schedule)

    def augmentation_of(self, dataset: str) -> str:
        """Return the DSA strategy for a data set name; empty for none."""
        return self.augmentation_for.get(dataset, self.augmentation)


_NO_FLIP = dict.fromkeys(NO_FLIP_DATASETS, DSA_STRATEGY_NO_FLIP)

# Epoch counts and drops are the reference loops' (they run one pass more than the papers say); the whole-data
# schedules are our choice, because no repository of the family contains one.
DSA = Protocol(
    name="dsa",
    version=1,
    network="convnet-d3",
    schedule=Schedule(epochs=1001, drop_at=502),
    real_schedule=Schedule(epochs=200, drop_at=100),
    augmentation=DSA_STRATEGY,
    augmentation_for=_NO_FLIP,
)
DC = Protocol(
    name="dc",
    version=1,
    network="convnet-d3",
    schedule=Schedule(epochs=301, drop_at=152),
    schedule_for={"mnist": Schedule(epochs=1001, drop_at=502)},
    real_schedule=Schedule(epochs=100, drop_at=50),
    augmentation="",
    augmentation_for={"mnist": "crop_scale_rotate"},
)
QUICK = Protocol(
    name="quick",
    version=1,
    network="convnet-d2-w32",
    schedule=Schedule(epochs=150, drop_at=100),
    real_schedule=Schedule(epochs=40, drop_at=30),
    lr=0.05,
    batch_size=128,
    augmentation=DSA_STRATEGY,
    augmentation_for=_NO_FLIP,
)


class Protocols:
    """The named protocols; `get` accepts a name, with near-miss suggestions for an unknown one."""

    kind = "protocol"

    def __init__(self, *protocols: Protocol) -> None:
        self._protocols = {protocol.name: protocol for protocol in protocols}

    def register(self, protocol: Protocol) -> Protocol:
        """Add a protocol under its own name; raises ValueError where a different one has that name."""
        if self._protocols.get(protocol.name, protocol) != protocol:
            raise ValueError(f"protocol name {protocol.name!r} is taken by another content; choose another name")
        self._protocols[protocol.name] = protocol
        return protocol

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted."""
        return tuple(sorted(self._protocols))

    def get(self, name: str) -> Protocol:
        """Return the protocol called `name`; raises UnknownNameError."""
        if name not in self._protocols:
            raise UnknownNameError(f"unknown protocol {name!r}; {suggest(name, self.names())}")
        return self._protocols[name]

    def summary(self, name: str) -> str:
        """One line about `name`: version, hash and what it trains."""
        protocol = self.get(name)
        augmented = "DSA" if protocol.augmentation else "no augmentation"
        return (
            f"v{protocol.version}@{protocol.hash}: {protocol.network}, {protocol.schedule.epochs} epochs, {augmented}"
        )


PROTOCOLS = Protocols(DSA, DC, QUICK)
