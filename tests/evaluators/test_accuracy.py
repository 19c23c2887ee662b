"""Tests of the accuracy evaluator."""

from dataclasses import replace

from ddbench.evaluator import student_accuracies
from ddbench.evaluators.accuracy import Accuracy
from ddbench.records import Metric


def test_the_metric_holds_one_fraction_per_student(run, real, context):
    values = student_accuracies(run, real, "mlp-w4", context)
    assert len(values) == 2
    expected = Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values)
    assert Accuracy().evaluate(run, real, context) == (expected,)


def test_students_are_of_the_runs_network(run, real, context):
    other = replace(run, network="convnet-d1-w8")
    (metric,) = Accuracy().evaluate(other, real, context)
    assert metric.values == student_accuracies(run, real, "convnet-d1-w8", context)


def test_accuracy_needs_no_phases():
    assert not Accuracy.reads_phases
