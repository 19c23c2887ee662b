"""Test accuracy of students trained on the distilled set, at the last epoch."""

from __future__ import annotations

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator, student_accuracies
from ddbench.method import RunContext
from ddbench.records import Metric, RealDataset


@EVALUATORS.register("accuracy")
class Accuracy(Evaluator):
    """`test_accuracy`: one fraction per student."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train the students and test them once, after the last epoch."""
        values = student_accuracies(run, real, run.network, ctx)
        return (Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values),)
