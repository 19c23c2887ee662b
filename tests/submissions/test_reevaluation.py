"""Tests of the spot check: a cell comes out again to the last bit, a forged one does not; spread is a tolerance."""

from __future__ import annotations

import pytest

from ddbench.errors import BadInputError
from ddbench.records import Metric
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.results_store import Store, write_result
from ddbench.runs.suite import Suite
from ddbench.submissions.reevaluation import choose, evaluate_again, find_sets_of, tolerance_of

pytestmark = pytest.mark.usefixtures("own_cache")
OPTIONS = RunOptions(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with two cells of random images."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def results(folder):
    suite = Suite(
        name="two", protocol="quick", datasets=("digits",), methods=("random_real",), ipc=(1,), distill_seeds=2,
        students=2,
    )  # fmt: skip
    store = Store(folder)
    for cell in suite.cells():
        if store.get(cell.key) is None:
            with store.writing(cell.key) as staging:
                write_result(run_cell(cell, OPTIONS, staging), staging)
    return store.results()


def test_sets_are_found_by_their_provenance(results, folder):
    found = find_sets_of(results, folder)
    assert {key: path.parent.name for key, path in found.items()} == {result.key: result.key for result in results}
    one = find_sets_of(results, folder / results[0].key / "distilled")
    assert list(one) == [results[0].key]


def test_no_sets_are_refused(results, tmp_path):
    with pytest.raises(BadInputError, match="holds no distilled sets"):
        find_sets_of(results, tmp_path)


def test_the_cell_is_drawn_by_seed_or_named(results, folder):
    found = find_sets_of(results, folder)
    assert {choose(results, found, None, seed).key for seed in range(20)} == set(found)
    assert choose(results, found, None, 3) == choose(results[::-1], found, None, 3)
    assert choose(results, found, results[1].key, 0) == results[1]
    with pytest.raises(BadInputError, match="is in none of the files"):
        choose(results, found, "0123456789abcdef", 0)
    with pytest.raises(BadInputError, match="has no distilled set there"):
        choose(results, {}, results[0].key, 0)
    with pytest.raises(BadInputError, match="none of the results is of a distilled set there"):
        choose(results, {}, None, 0)


def test_a_cell_comes_out_again_to_the_last_bit(results, folder):
    again = evaluate_again(results[0], find_sets_of(results, folder)[results[0].key], OPTIONS)
    assert again.is_same_place
    assert again.agrees
    assert again.words.endswith("bit-equal")


def test_one_image_less_is_told_on_the_same_machine(results, folder):
    first = results[0]
    metric = first.metric("test_accuracy")
    values = (metric.values[0] - 1 / 355, *metric.values[1:])
    forged = first.model_copy(update={"metrics": (metric.model_copy(update={"values": values}),)})
    again = evaluate_again(forged, find_sets_of(results, folder)[first.key], OPTIONS)
    assert not again.agrees
    assert "not bit-equal, on the same machine" in again.words


@pytest.mark.parametrize(("shift", "agrees"), [(0.0, True), (0.25, False)])
def test_elsewhere_the_spread_of_students_is_the_tolerance(results, folder, shift, agrees):
    first = results[0]
    values = tuple(min(1.0, value + shift + 1e-4) for value in first.metric("test_accuracy").values)
    metric = Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values)
    elsewhere = {"machine": {**first.machine, "id": "ffffffff"}, "metrics": (metric,)}
    again = evaluate_again(first.model_copy(update=elsewhere), find_sets_of(results, folder)[first.key], OPTIONS)
    assert len(again.measured) == 5
    assert again.agrees == agrees
    assert ("within" if agrees else "outside") in again.words
    assert "spread of the students trained now" in again.words


def test_tolerance_is_students_t_of_two_means():
    measured = (0.50, 0.52, 0.54)
    expected = 9.924843 * 0.02 * (1 / 3 + 1 / 2) ** 0.5  # t of 99 % with two degrees of freedom
    assert tolerance_of((0.5, 0.5), measured, 10_000) == pytest.approx(expected, rel=1e-5)
    assert tolerance_of((0.5,), (0.5, 0.5), 355) == 1 / 355  # no spread: one test image


def test_another_protocol_is_refused(results, folder):
    other = results[0].model_copy(update={"protocol_hash": "0123456789ab"})
    with pytest.raises(BadInputError, match="evaluate it with the version that made it"):
        evaluate_again(other, folder / results[0].key / "distilled", OPTIONS)
