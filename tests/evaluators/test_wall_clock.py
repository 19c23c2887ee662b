"""Tests of the wall-clock evaluator."""

from dataclasses import replace

from ddbench.evaluators.wall_clock import WallClock


def test_every_phase_gives_its_seconds_in_order(run, real, context):
    metrics = WallClock().evaluate(run, real, context)
    assert [(metric.name, metric.values) for metric in metrics] == [
        ("first_use_seconds", (0.25,)),
        ("prepare_seconds", (7.5,)),
        ("distill_seconds", (2.0,)),
    ]
    assert all(metric.unit == "seconds" and not metric.higher_is_better for metric in metrics)


def test_it_runs_when_every_phase_has_ended(run, real, context):
    assert WallClock.reads_phases
    assert WallClock().evaluate(replace(run, phases=()), real, context) == ()
