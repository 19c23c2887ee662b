"""What a set gains over random real images under the same labels: hard, one soft label an image, a teacher's online.

`label_regimes`, or `label_regimes:N` with a teacher of N epochs where the protocol has none, whose `real_schedule` is
made for a GPU.
"""

from __future__ import annotations

from typing import ClassVar

from ddbench.errors import BadInputError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.evaluators._random_side import RandomSide
from ddbench.inputs.values import shown
from ddbench.method import RunContext
from ddbench.records import Metric, RealDataset
from ddbench.students.label_regimes import REGIMES

MOST_EPOCHS = 100_000


@EVALUATORS.register("label_regimes")
class LabelRegimes(Evaluator):
    """For each regime R: `accuracy[R]`, `random_accuracy[R]`, `gain[R]`, one fraction a student, and `label_bytes[R]`.

    Student i of both sides starts from the same parameters and draws: the gain is a difference of pairs. Both sides
    take as many steps; a learned rate is the set's alone, random images are trained with the protocol's. `label_bytes`
    is what the labels take, or the teacher that gives them. A regime that nobody can label is left out: `online` of
    whitened sets.
    """

    takes_option: ClassVar[bool] = True

    def __init__(self, option: str | None = None) -> None:
        super().__init__(option)
        self.epochs = None if option is None else _as_epochs(option)

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train students of both sides under every regime."""
        sides, metrics, labels_of = RandomSide(run, real, ctx, self.epochs), [], {}
        for regime in REGIMES:
            found = sides.own(regime)
            if found is None:
                continue
            labelled, own = found
            random = sides.random(regime)
            name = regime if self.epochs is None or regime == "hard" else f"{regime}, teacher of {self.epochs} epochs"
            teacher = sides.teacher.record.sha256[:12] if regime != "hard" and sides.teacher else ""
            gains = tuple(a - b for a, b in zip(own, random, strict=True))
            for metric, values in (("accuracy", own), ("random_accuracy", random), ("gain", gains)):
                full = f"{metric}[{name}]"
                metrics.append(Metric(name=full, unit="fraction", higher_is_better=True, values=values, basis=teacher))
            size = (float(labelled.num_bytes),)
            metrics.append(Metric(name=f"label_bytes[{name}]", unit="bytes", higher_is_better=False, values=size))
            labels_of[regime] = labelled.labels_of
        run.engine["labels_of"] = labels_of
        if sides.teacher is not None:
            run.engine["regimes_teacher"] = sides.teacher.record.model_dump(mode="json")
        return tuple(metrics)


def _as_epochs(option: str) -> int:
    if not (option.isascii() and option.isdigit() and 0 < int(option) <= MOST_EPOCHS):
        raise BadInputError(f"label_regimes:N takes the epochs of its teacher, a whole number, got {shown(option)}")
    return int(option)
