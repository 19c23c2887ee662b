"""Tests of what is compared of the data that a result names, where it lies on this machine."""

import pytest

from ddbench.submissions.data import DataAtHand, check_data
from tests.submissions._valid import changed, read, valid, with_metric, write


@pytest.fixture(scope="module")
def digits():
    return DataAtHand().look_for("digits")


def findings(tmp_path, content, known):
    (result,) = read(write(tmp_path / "one.jsonl", [content]))
    return list(check_data(result, known))


def test_recorded_results_are_of_the_registered_data(tmp_path, digits):
    assert findings(tmp_path, valid(1)[0], digits) == []
    older = changed(valid(1)[0], dataset_fingerprint=digits.layout)
    assert findings(tmp_path, older, digits) == []


@pytest.mark.parametrize("fingerprint", ["c1-0000000000000000", "0000000000000000"])
def test_other_data_is_told(tmp_path, digits, fingerprint):
    (finding,) = findings(tmp_path, changed(valid(1)[0], dataset_fingerprint=fingerprint), digits)
    assert finding.is_problem
    assert "is not digits as registered" in finding.words


def test_no_data_is_told(tmp_path, digits):
    (finding,) = findings(tmp_path, changed(valid(1)[0], dataset_fingerprint=""), digits)
    assert "does not say what its data was" in finding.words


def test_an_accuracy_is_a_number_of_test_images(tmp_path, digits):
    (finding,) = findings(tmp_path, with_metric(valid(1)[0], "test_accuracy", (0.5, 0.6)), digits)
    assert "not a whole number of the 355 test images" in finding.words


def test_data_that_is_not_here_is_a_note(tmp_path):
    found = DataAtHand(tmp_path)
    assert found.look_for("cifar10") is None
    assert found.look_for("my_folder") is None
    (finding,) = findings(tmp_path, valid(1)[0], None)
    assert not finding.is_problem
