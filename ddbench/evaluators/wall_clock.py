"""Wall-clock seconds of each phase."""

from __future__ import annotations

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric


@EVALUATORS.register("wall_clock")
class WallClock(Evaluator):
    """`PHASE_seconds` for every phase, first use apart; a reused `prepare` shows what it cost when it was made."""

    reads_phases = True

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Translate the readings."""
        return tuple(
            Metric(
                name=f"{phase.name}_seconds", unit="seconds", higher_is_better=False, values=(phase.reading.seconds,)
            )
            for phase in run.phases
        )
