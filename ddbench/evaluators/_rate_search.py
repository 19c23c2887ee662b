"""A learning rate chosen from a fixed grid on held-out training images, never on the test set.

DD-Ranking (arXiv 2505.13300) tries the same rates and keeps the best on the test set; here a tenth of the training
split is held out for it. A method may have seen those images, as it has seen all of the training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddbench.evaluators._random_side import UNCHANGED, RandomSide
from ddbench.records import DistilledDataset, LabeledImages, RealDataset
from ddbench.seeding import make_generator
from ddbench.students.label_regimes import Regime

RATES = (0.001, 0.005, 0.01, 0.05, 0.1)  # source: DD-Ranking, `metrics/hard_label.py`
HELD_OUT = 10  # one of so many images of each class, at least one


def choose_own_rate(side: RandomSide, regime: Regime, changes: Mapping[str, Any] = UNCHANGED) -> float:
    """Return the rate of the grid whose student of the set does best on the held-out images; the lowest of equals."""
    return _choose(side, side.run.distilled, regime, changes)


def choose_random_rate(side: RandomSide, regime: Regime, changes: Mapping[str, Any] = UNCHANGED) -> float:
    """Return the rate of the grid for random real images, which are drawn from those that are not held out."""
    rest, _ = split_off(side.real.train)
    return _choose(side, side.random_set(rest), regime, changes)


def split_off(train: LabeledImages) -> tuple[LabeledImages, LabeledImages]:
    """Return a training split without a tenth of each class, and that tenth; the same for every set and seed."""
    generator = make_generator(0, "held out", train.info.name)
    kept: list[Tensor] = []
    held: list[Tensor] = []
    for label in range(train.num_classes):
        rows = train.of_class(label)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        count = max(1, len(rows) // HELD_OUT)
        held.append(rows[:count])
        kept.append(rows[count:].sort().values)
    return _part(train, torch.cat(kept)), _part(train, torch.cat(held))


def _choose(side: RandomSide, distilled: DistilledDataset, regime: Regime, changes: Mapping[str, Any]) -> float:
    labelled = side.labelled(distilled, regime)
    if labelled is None:
        raise RuntimeError(f"the set cannot be labelled under {regime}")
    _, held = split_off(side.real.train)
    real = RealDataset(side.real.train, held, side.real.info)
    schedule = None if distilled is side.run.distilled else side.random_schedule(changes)
    found = {}
    for rate in RATES:
        at_rate = replace(labelled, distilled=replace(labelled.distilled, student_lr=rate))
        trainer = replace(side.trainer(at_rate, changes), real=real, schedule=schedule)
        found[rate] = trainer.train_and_test(side.run.network, 1, side.ctx.track).accuracies[0]
        side.ctx.log(f"held-out accuracy at rate {rate}, {regime} labels", found[rate])
    return max(RATES, key=lambda rate: (found[rate], -rate))


def _part(train: LabeledImages, rows: Tensor) -> LabeledImages:
    return LabeledImages(train.pixels(rows), train.labels[rows], train.info)
