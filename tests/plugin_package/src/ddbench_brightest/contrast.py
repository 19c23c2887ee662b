"""Contrast: the mean standard deviation within an image of the set, in the space the images are in."""

from __future__ import annotations

from ddbench.plugin import DistillRun, Evaluator, Metric, RealDataset, RunContext


class Contrast(Evaluator):
    """One number for a set; needs no student."""

    def evaluate(self, run: DistillRun, real: RealDataset, ctx: RunContext) -> tuple[Metric, ...]:
        """Return `contrast`, of pixels in 0..255 where the set is stored in bytes."""
        value = run.distilled.images.float().flatten(1).std(1).mean().item()
        return (Metric(name="contrast", unit="levels", higher_is_better=True, values=(value,)),)
