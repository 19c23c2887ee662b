"""Peak memory of each phase: allocated and reserved on the GPU, resident on the host."""

from __future__ import annotations

from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator
from ddbench.images import RealDataset
from ddbench.method import RunContext
from ddbench.records import Metric

KINDS = ("peak_allocated_bytes", "peak_reserved_bytes", "peak_host_bytes")


@EVALUATORS.register("peak_memory")
class PeakMemory(Evaluator):
    """`PHASE_peak_KIND_bytes`; a kind that the machine does not have, such as a GPU's, gives no metric."""

    reads_phases = True

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Translate the readings."""
        return tuple(
            Metric(name=f"{phase.name}_{kind}", unit="bytes", higher_is_better=False, values=(float(value),))
            for phase in run.phases
            for kind in KINDS
            if (value := getattr(phase.reading, kind)) is not None
        )
