"""Tests of the peak-memory evaluator."""

from dataclasses import replace

from ddbench.evaluators.peak_memory import PeakMemory


def test_every_peak_that_was_read_gives_a_metric(run, real, context):
    metrics = PeakMemory().evaluate(run, real, context)
    # A peak of zero was read; one that is None was not.
    assert {metric.name: metric.values for metric in metrics} == {
        "first_use_peak_host_bytes": (0.0,),
        "prepare_peak_allocated_bytes": (30.0,),
        "prepare_peak_reserved_bytes": (40.0,),
        "prepare_peak_host_bytes": (60.0,),
        "distill_peak_allocated_bytes": (30.0,),
        "distill_peak_reserved_bytes": (40.0,),
    }
    assert len(metrics) == 6
    assert all(metric.unit == "bytes" and not metric.higher_is_better for metric in metrics)


def test_it_runs_when_every_phase_has_ended(run, real, context):
    assert PeakMemory.reads_phases
    assert PeakMemory().evaluate(replace(run, phases=()), real, context) == ()
