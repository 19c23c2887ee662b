"""Tests of which results are of the same data: by content, by layout where older, by name where unknown."""

from __future__ import annotations

import pytest

from ddbench.analysis.aggregate import drop_duplicates
from ddbench.analysis.data_identity import DataIdentity, older_data_notes
from tests.claims._made import make_result

OLD = make_result(dataset_fingerprint="f1")
A = make_result(dataset_fingerprint="c1-a", dataset_layout="f1")
B = make_result(dataset_fingerprint="c1-b", dataset_layout="f1")
OTHER = make_result(dataset_fingerprint="c1-c", dataset_layout="f2")
UNREAD = make_result(dataset_fingerprint="", status="failed")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([OLD], ["f1"]),
        ([OLD, A], ["c1-a", "c1-a"]),
        ([A, OLD, OTHER], ["c1-a", "c1-a", "c1-c"]),
        ([OLD, A, B], ["f1", "c1-a", "c1-b"]),
        ([OLD, OTHER], ["f1", "c1-c"]),
        ([UNREAD, OLD, A], ["c1-a", "c1-a", "c1-a"]),
        ([UNREAD, OTHER, A], ["c1-c", "c1-c", "c1-a"]),
        ([UNREAD], [""]),
    ],
)
def test_results_stand_together(results, expected):
    assert list(map(DataIdentity(results).of, results)) == expected


def test_a_name_alone_makes_no_two_data_sets_the_same():
    elsewhere = A.model_copy(update={"dataset": "cifar10"})
    data = DataIdentity([OLD, elsewhere])
    assert data.of(OLD) == "f1"
    assert len(drop_duplicates([A, B.model_copy(update={"key": "b"})])[0]) == 2
    assert len(drop_duplicates([A, elsewhere.model_copy(update={"key": "e"})])[0]) == 2
    assert len(drop_duplicates([OLD, A.model_copy(update={"key": "a"})])[0]) == 1


def test_a_note_is_made_of_a_mixture_alone():
    assert older_data_notes([OLD, UNREAD]) == older_data_notes([A, B]) == []
    (note,) = older_data_notes([OLD, A, UNREAD])
    assert note.startswith("1 of 2 results were recorded before")
