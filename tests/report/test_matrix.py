"""Tests of the table of other networks."""

from __future__ import annotations

from ddbench.report.matrix import matrices_of
from ddbench.tables.table import make_table
from tests.report._results import varied


def test_cross_measurements_and_entries_of_other_networks_stand_in_one_matrix():
    results = [
        varied("dm", 10, 0, (0.6,), others={"test_accuracy[mlp]": (0.4,)}),
        varied("dm", 10, 0, (0.8,), network="resnet18"),
        varied("herding", 10, 0, (0.2,), others={"test_accuracy[mlp]": (0.3, 0.5)}),
    ]
    (matrix,) = matrices_of(make_table(results).panels)
    assert matrix.networks == ("convnet-d2-w32", "mlp", "resnet18")
    rows = {row.method: [text for text, _ in row.values] for row in matrix.rows}
    assert rows == {"dm": ["60.0", "40.0", "80.0"], "herding": ["20.0", "40.0", "\N{EN DASH}"]}
    places = {row.method: [place for _, place in row.values] for row in matrix.rows}
    assert places["dm"][2] == 1.0
    assert places["herding"][0] == 0.0
    assert places["herding"][2] is None


def test_students_of_the_entries_own_network_count_before_a_cross_measurement():
    results = [
        varied("dm", 10, 0, (0.6,), others={"test_accuracy[mlp]": (0.4,)}),
        varied("dm", 10, 0, (0.7,), network="mlp"),
    ]
    (matrix,) = matrices_of(make_table(results).panels)
    assert dict(zip(matrix.networks, [text for text, _ in matrix.rows[0].values], strict=True))["mlp"] == "70.0"


def test_sets_measured_on_one_network_make_no_matrix():
    results = [varied("dm", 10, 0), varied("herding", 10, 0, network="mlp"), varied("dm", 10, 0, dataset="mnist")]
    assert matrices_of(make_table(results).panels) == ()
