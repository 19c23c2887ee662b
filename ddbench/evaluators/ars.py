"""DD-Ranking's augmentation-robust score: a set's gain over random images, with and without augmentation.

Paper: "DD-Ranking: Rethinking the Evaluation of Dataset Distillation" (arXiv 2505.13300).
Checked against: NUS-HPC-AI-Lab/DD-Ranking 0.2.0, `metrics/aug_robust.py`. Differs from it as `lrs` does.
"""

from __future__ import annotations

from typing import Any

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.evaluators._random_side import UNCHANGED, RandomSide
from ddbench.evaluators._rate_search import check_searched, choose_own_rate, choose_random_rate
from ddbench.evaluators._scores import normalised_score
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric

WEIGHT = 0.5  # of the gain with augmentation; source: metrics/aug_robust.py
PLAIN: dict[str, Any] = {
    "augmentation": "",
    "augmentation_for": {},
    "image_augmentation": None,
    "small_images": None,
    "cutmix": None,
    "mixup": None,
}


@EVALUATORS.register("ars")
class AugmentationRobustScore(Evaluator):
    """`ars`, and the gains on random images that it is made of: `gain_augmented` and `gain_plain`, one a student.

    ARS is `normalised_score` of half of each; the set is trained with its own labels, random images with the same, or
    with a teacher's where the set has soft ones of its own.
    """

    def check(self, run: DistillRun, real: RealDataset) -> None:
        """Refuse a set that has no random counterpart beside the held-out images."""
        check_searched(run, real)

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train students of the set and of random images, with the protocol's augmentation and without any."""
        if run.distilled.ipc is None:
            return ()
        side, gains, rates = RandomSide(run, real, ctx), {}, {}
        regime, learned = side.own_regime, run.distilled.student_lr
        for name, changes in (("augmented", UNCHANGED), ("plain", PLAIN)):
            of_random = choose_random_rate(side, regime, changes)
            of_set = learned if learned is not None else choose_own_rate(side, regime, changes)
            _, own = side.own(regime, of_set, changes)
            random = side.random(regime, of_random, changes)
            gains[name] = tuple(a - b for a, b in zip(own, random, strict=True))
            rates[name] = {"own": of_set, "random": of_random}
        score = tuple(
            normalised_score(WEIGHT * with_it + (1 - WEIGHT) * without)
            for with_it, without in zip(gains["augmented"], gains["plain"], strict=True)
        )
        run.engine["ars"] = {"rates": rates, "labels": regime}
        return (
            Metric(name="ars", unit="score", higher_is_better=True, values=score),
            *(
                Metric(name=f"gain_{name}", unit="fraction", higher_is_better=True, values=values)
                for name, values in gains.items()
            ),
        )
