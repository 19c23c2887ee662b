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

from ddbench.distilled.dataset import DistilledDataset
from ddbench.evaluator import DistillRun
from ddbench.evaluators._random_side import UNCHANGED, RandomSide, check_random_side
from ddbench.images import LabeledImages, RealDataset
from ddbench.seeding import make_generator
from ddbench.training_recipe import Regime

RATES = (0.001, 0.005, 0.01, 0.05, 0.1)  # source: DD-Ranking, `metrics/hard_label.py`
HELD_OUT, MOST_HELD_OUT = 10, 100  # one of so many images of each class, at least one and at most so many


def check_searched(run: DistillRun, real: RealDataset) -> None:
    """Raise BadInputError where a set has no random counterpart beside the held-out images."""
    if run.distilled.ipc is not None:
        check_random_side(run.distilled, real.train, held_out_of)


def choose_own_rate(side: RandomSide, regime: Regime, changes: Mapping[str, Any] = UNCHANGED) -> float:
    """Return the rate of the grid whose student of the set does best on the held-out images; the lowest of equals."""
    _, held = split_off(side.real.train)
    return _choose(side, side.run.distilled, held, regime, changes)


def choose_random_rate(side: RandomSide, regime: Regime, changes: Mapping[str, Any] = UNCHANGED) -> float:
    """Return the rate of the grid for random real images, drawn from those that are not held out; chosen once."""
    regime = side.of_random(regime)

    def measure() -> list[float]:
        rest, held = split_off(side.real.train)
        return [_choose(side, side.random_set(rest), held, regime, changes)]

    content = side.key_content(regime, side.random_schedule(changes), changes)
    return side.once("rate", {**content, "eval_seed": side.run.eval_seed, "rates": list(RATES)}, measure)[0]


def split_off(train: LabeledImages) -> tuple[list[Tensor], Tensor]:
    """Return by class the indices of the images that are kept, and the (n,) indices of those held out.

    The same for every set and seed.
    """
    generator = make_generator(0, "held out", train.info.name)
    kept, held = [], []
    for label in range(train.num_classes):
        rows = train.of_class(label)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        count = held_out_of(len(rows))
        held.append(rows[:count])
        kept.append(rows[count:].sort().values)
    return kept, torch.cat(held)


def held_out_of(count: int) -> int:
    """Return how many of a class's images are held out."""
    return min(MOST_HELD_OUT, max(1, count // HELD_OUT))


def _choose(
    side: RandomSide, distilled: DistilledDataset, held: Tensor, regime: Regime, changes: Mapping[str, Any]
) -> float:
    train, labelled = side.real.train, side.labelled(distilled, regime)
    real = RealDataset(train, LabeledImages(train.pixels(held), train.labels[held], train.info), side.real.info)
    schedule = None if distilled is side.run.distilled else side.random_schedule(changes)
    found = {}
    for rate in RATES:
        trainer = replace(side.trainer(labelled, rate, changes), real=real, schedule=schedule)
        found[rate] = trainer.train_and_test(side.run.network, 1, side.ctx.track).accuracies[0]
        side.ctx.log(f"held-out accuracy at rate {rate}, {regime} labels", found[rate])
    return max(RATES, key=lambda rate: (found[rate], -rate))
