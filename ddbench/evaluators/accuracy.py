"""Test accuracy of students trained on the distilled set, at the last epoch.

Beside it, under protocols of papers that print the best of several tests, `test_accuracy_best`: the best of the tests
at exactly the paper's epochs. It is selected on the test set, and higher the noisier the training is; it is there to be
compared with those papers and with nothing else.
"""

from __future__ import annotations

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator, train_students_of
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric


@EVALUATORS.register("accuracy")
class Accuracy(Evaluator):
    """`test_accuracy`: one fraction per student; under some protocols also `test_accuracy_best`."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train the students and test them after the last epoch, and where the protocol says so on the way."""
        trained = train_students_of(run, real, run.network, ctx, best_too=True)
        values = {"test_accuracy": trained.accuracies, "test_accuracy_best": trained.best}
        return tuple(
            Metric(name=name, unit="fraction", higher_is_better=True, values=found)
            for name, found in values.items()
            if found
        )
