"""Tests of the cross-architecture evaluator."""

from dataclasses import replace

import pytest

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.evaluator import student_accuracies
from ddbench.evaluators.accuracy import Accuracy
from ddbench.evaluators.cross_architecture import CrossArchitecture


def test_every_network_listed_gives_a_metric_in_order(run, real, context):
    networks = ("mlp-w4", "convnet-d1-w8-bn", "mlp-w5")
    metrics = CrossArchitecture().evaluate(replace(run, networks=networks), real, context)
    assert [metric.name for metric in metrics] == [f"test_accuracy[{network}]" for network in networks]
    for network, metric in zip(networks, metrics, strict=True):
        assert metric.values == student_accuracies(run, real, network, context)
        assert (metric.unit, metric.higher_is_better) == ("fraction", True)


def test_the_runs_own_network_scores_as_in_accuracy(run, real, context):
    (crossed,) = CrossArchitecture().evaluate(replace(run, networks=("mlp-w4",)), real, context)
    (plain,) = Accuracy().evaluate(run, real, context)
    assert crossed.values == plain.values


def test_no_networks_are_refused_in_one_line(run, real, context):
    with pytest.raises(BadInputError, match="needs networks to compare; list them as `cross_networks`") as caught:
        CrossArchitecture().evaluate(run, real, context)
    assert "\n" not in str(caught.value)


def test_an_unknown_network_is_named(run, real, context):
    with pytest.raises(UnknownNameError, match="unknown network 'mlb'; did you mean mlp"):
        CrossArchitecture().evaluate(replace(run, networks=("mlb",)), real, context)
