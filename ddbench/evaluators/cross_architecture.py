"""Test accuracy of students with other architectures than the one the set was distilled with."""

from __future__ import annotations

from ddbench.errors import BadInputError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator, student_accuracies
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric


@EVALUATORS.register("cross_architecture")
class CrossArchitecture(Evaluator):
    """`test_accuracy[NETWORK]` for each network listed: one fraction per student."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Train students of every listed network under the same protocol; raises BadInputError where none is listed."""
        if not run.networks:
            raise BadInputError(
                "cross_architecture needs networks to compare; list them as `cross_networks`, or with --networks"
            )
        return tuple(
            Metric(
                name=f"test_accuracy[{network}]",
                unit="fraction",
                higher_is_better=True,
                values=student_accuracies(run, real, network, ctx),
            )
            for network in run.networks
        )
