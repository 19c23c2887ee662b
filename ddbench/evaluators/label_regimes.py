"""Gain over random real images under the same labels: hard, the set's own, a teacher's per image or online.

`label_regimes`, or `label_regimes:N` with a teacher of N epochs where the protocol has none, whose `real_schedule` is
made for a GPU.
"""

from __future__ import annotations

from typing import ClassVar

from ddbench.errors import BadInputError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.evaluators._random_side import RandomSide, check_random_side
from ddbench.images import RealDataset
from ddbench.inputs.values import shown
from ddbench.method import RunContext
from ddbench.records import Metric
from ddbench.students.label_regimes import can_label
from ddbench.training_recipe import REGIMES, Regime

MOST_EPOCHS = 100_000


@EVALUATORS.register("label_regimes")
class LabelRegimes(Evaluator):
    """For each regime R: `accuracy[R]`, `random_accuracy[R]`, `gain[R]`, one fraction a student, and `label_bytes[R]`.

    Student i of both sides starts from the same parameters and draws: the gain is a difference of pairs. Both sides
    take as many steps; a learned rate is the set's alone, random images are trained with the protocol's. Beside a set
    with its `own` soft labels random images have a teacher's, so that this gain is one of labels too; under `soft` and
    `online` both have a teacher's. `label_bytes` is what the labels take, or the teacher that gives them. A regime that
    nobody can label is left out: a teacher's labels of whitened sets. The whole training set has no random counterpart,
    and none of these metrics.
    """

    takes_option: ClassVar[bool] = True

    def __init__(self, option: str | None = None) -> None:
        super().__init__(option)
        self.epochs = None if option is None else _as_epochs(option)

    def check(self, run: DistillRun, real: RealDataset) -> None:
        """Refuse a set that has no random counterpart, and N under a protocol with a teacher of its own."""
        if self.epochs is not None and run.protocol.teacher is not None:
            raise BadInputError(
                f"label_regimes:{self.epochs} trains a teacher, and protocol {run.protocol.name} has one; name the "
                "evaluator as label_regimes"
            )
        if run.distilled.ipc is not None:
            check_random_side(run.distilled, real.train)

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train students of both sides under every regime."""
        if run.distilled.ipc is None:
            return ()
        side, metrics = RandomSide(run, real, ctx, self.epochs), []
        for regime in REGIMES:
            if not can_label(run.distilled, regime):
                continue
            labelled, own = side.own(regime)
            random = side.random(regime)
            gains = tuple(a - b for a, b in zip(own, random, strict=True))
            size = (float(labelled.num_bytes),)
            name, basis = self._name(regime), "" if regime == "hard" else side.teacher.record.sha256[:12]
            for what, values in (("accuracy", own), ("random_accuracy", random), ("gain", gains)):
                by = "" if (what, regime) == ("accuracy", "own") else basis
                metrics.append(
                    Metric(name=f"{what}[{name}]", unit="fraction", higher_is_better=True, values=values, basis=by)
                )
            metrics.append(Metric(name=f"label_bytes[{name}]", unit="bytes", higher_is_better=False, values=size))
        if side.used_teacher is not None:
            run.engine[f"regimes_teacher{self._suffix}"] = side.used_teacher.record.model_dump(mode="json")
        return tuple(metrics)

    @property
    def _suffix(self) -> str:
        return "" if self.epochs is None else f", teacher of {self.epochs} epochs"

    def _name(self, regime: Regime) -> str:
        """Return a regime's name in metrics: with a teacher of so many epochs where any label comes from it."""
        return regime if regime == "hard" else f"{regime}{self._suffix}"


def _as_epochs(option: str) -> int:
    if not (option.isascii() and option.isdigit() and len(option) < 10 and 0 < int(option) <= MOST_EPOCHS):
        raise BadInputError(f"label_regimes:N takes the epochs of its teacher, a whole number, got {shown(option)}")
    return int(option)
