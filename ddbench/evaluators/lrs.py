"""DD-Ranking's label-robust score: what hard labels lose against full data, and the gain over random images.

`lrs`, or `lrs:0.848` with the accuracy of the whole real training set where that is recorded already.

Paper: "DD-Ranking: Rethinking the Evaluation of Dataset Distillation" (arXiv 2505.13300).
Checked against: NUS-HPC-AI-Lab/DD-Ranking 0.2.0, `metrics/hard_label.py` and `metrics/soft_label.py`.
Differs from it: accuracies are fractions, as in the paper (that program puts percentages into the exponential, where
nearly every set gets its floor, -0.157); the last epoch counts, not the best test; rates are chosen on
held-out training images.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import ClassVar

import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.evaluators._random_side import RandomSide
from ddbench.evaluators._rate_search import check_searched, choose_own_rate, choose_random_rate
from ddbench.evaluators._scores import normalised_score
from ddbench.images import RealDataset
from ddbench.inputs.values import shown
from ddbench.method import RunContext
from ddbench.network import plugin_code
from ddbench.records import Metric
from ddbench.students.label_regimes import LabelledSet

WEIGHT = 0.5  # of the gain on random, against that of what hard labels lose; source: metrics/hard_label.py


@EVALUATORS.register("lrs")
class LabelRobustScore(Evaluator):
    """`lrs`, `hlr` and `ior`, one number a student.

    HLR = accuracy(real, hard) - accuracy(set, hard); IOR = accuracy(set, its labels) - accuracy(random, the same
    labels, a teacher's where the set has soft ones of its own); LRS is `normalised_score` of IOR / 2 - HLR / 2. A rate
    that the set has learned goes with its own labels; all others are searched.
    """

    takes_option: ClassVar[bool] = True

    def __init__(self, option: str | None = None) -> None:
        super().__init__(option)
        self.recorded = None if option is None else _as_fraction(option)

    def check(self, run: DistillRun, real: RealDataset) -> None:
        """Refuse a set that has no random counterpart beside the held-out images."""
        check_searched(run, real)

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train students of the set, of random images and, unless it is recorded, of the whole training set."""
        if run.distilled.ipc is None:
            return ()
        side = RandomSide(run, real, ctx)
        regime, learned = side.own_regime, run.distilled.student_lr
        rates = {"random": choose_random_rate(side, regime), "hard": choose_own_rate(side, "hard")}
        _, hard = side.own("hard", rates["hard"])
        if regime == "hard" and learned is None:
            rates["own"], own = rates["hard"], hard
        else:
            rates["own"] = learned if learned is not None else choose_own_rate(side, regime)
            _, own = side.own(regime, rates["own"])
        random = side.random(regime, rates["random"])
        full = full_accuracy(side) if self.recorded is None else self.recorded
        hlr = tuple(full - accuracy for accuracy in hard)
        ior = tuple(a - b for a, b in zip(own, random, strict=True))
        pairs = zip(ior, hlr, strict=True)
        score = tuple(normalised_score(WEIGHT * gain - (1 - WEIGHT) * lost) for gain, lost in pairs)
        run.engine["lrs"] = {"rates": rates, "full_accuracy": full, "labels": regime}
        name = "" if self.option is None else f"[full {self.option}]"
        return (
            Metric(name=f"lrs{name}", unit="score", higher_is_better=True, values=score),
            Metric(name=f"hlr{name}", unit="fraction", higher_is_better=False, values=hlr),
            Metric(name=f"ior{name}", unit="fraction", higher_is_better=True, values=ior),
        )


def full_accuracy(side: RandomSide) -> float:
    """Return the accuracy of one student of the whole training set with hard labels; the same for every set, and kept.

    Its seed is the evaluation's alone, that of a set of unknown origin.
    """
    train = side.real.train

    def measure() -> list[float]:
        stand_in = torch.empty(train.images.shape, dtype=torch.uint8, device="meta")
        whole = DistilledDataset(stand_in, train.labels, train.num_classes, None, "pixels")
        trainer = replace(side.trainer(LabelledSet(whole, None, 0)), distill_seed=None)
        return list(trainer.train_and_test(side.run.network, 1, side.ctx.track, side.ctx.log).accuracies)

    content = {
        "protocol": side.protocol.model_dump(mode="json"),
        "code": plugin_code(side.run.network),
        "data": asdict(side.real.info),
        "eval_seed": side.run.eval_seed,
        "device": side.ctx.device.type,
    }
    return side.once("whole training set", content, measure)[0]


def _as_fraction(option: str) -> float:
    try:
        value = float(option)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise BadInputError(f"lrs:ACCURACY takes the whole data's accuracy, a fraction in 0..1, got {shown(option)}")
    return value
