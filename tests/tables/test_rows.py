"""The rows of a table: which are shown, in which order, and what is said of the others."""

from __future__ import annotations

import pytest

from ddbench.errors import BadInputError
from ddbench.tables.rows import RowChoice
from ddbench.tables.table import make_table
from tests.tables._made import make_result

ACCURACIES = {"dm": {1: 0.5, 10: 0.7}, "dc": {1: 0.6, 10: 0.65}, "dsa": {1: 0.4}, "random_real": {1: 0.2, 10: 0.3}}
RESULTS = [
    make_result(method, ipc=ipc, seed=seed, values=(accuracy + 0.001 * seed,))
    for method, by_ipc in ACCURACIES.items()
    for ipc, accuracy in by_ipc.items()
    for seed in range(3)
]


def shown(**choice):
    (panel,) = make_table(RESULTS, gain=True, rows=RowChoice(**choice)).panels
    return list(panel.accuracy["method"]), panel


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ["random_real", "dc", "dm", "dsa"]),
        ({"sort": "accuracy"}, ["dm", "dc", "random_real", "dsa"]),
        ({"sort": 1}, ["dc", "dm", "dsa", "random_real"]),
        ({"top": 2}, ["dc", "dm"]),
        ({"top": 2, "sort": 1}, ["dc", "dm"]),
        ({"top": 3, "sort": 1}, ["dc", "dm", "dsa"]),
        ({"top": 9}, ["random_real", "dc", "dm", "dsa"]),  # dsa lacks the largest IPC, and comes last
        ({"methods": ("dsa", "dm")}, ["dm", "dsa"]),
        ({"methods": ("dsa", "dm"), "top": 1}, ["dm"]),
    ],
)
def test_rows_are_chosen_and_ordered(choice, expected):
    found, panel = shown(**choice)
    assert found == expected
    assert {row["method"] for row in panel.rows} == set(expected) == set(panel.cost["method"])
    left = (len(choice["methods"]) if "methods" in choice else 4) - len(expected)
    said = [note for note in panel.notes if "more rows are not shown" in note]
    assert said == ([f"{left} more rows are not shown; marks compare the rows that are."] if left else [])


def test_a_gain_needs_no_row_of_random_images():
    _, panel = shown(methods=("dm",))
    assert list(panel.gain["method"]) == ["dm"]
    assert panel.gain["IPC 10"].item().startswith("+40.0")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"methods": ("dm", "dma")}, "hold no method 'dma'; did you mean dm"),
        ({"sort": 7}, "no result is at IPC 7, which rows are to be sorted by; there are: 1, 10"),
        ({"methods": ("dsa",), "sort": 10}, "no result is at IPC 10, .* there are: 1$"),
        ({"top": 0}, "top"),
        ({"sort": "best"}, "sort"),
    ],
)
def test_a_choice_of_nothing_is_refused_in_one_line(choice, message):
    with pytest.raises(BadInputError, match=message):
        shown(**choice)


def test_a_panel_without_a_chosen_method_is_left_out():
    other = make_result("mtt", dataset="cifar10")
    table = make_table([*RESULTS, other], rows=RowChoice(methods=("mtt",)))
    assert [panel.entries[0].method for panel in table.panels] == ["mtt"]


def test_where_no_row_has_the_ipc_all_are_shown_by_name_and_that_is_said():
    other = [make_result(name, ipc=1, dataset="cifar10", values=(0.5,)) for name in ("dm", "dc")]
    cifar, digits = make_table([*RESULTS, *other], rows=RowChoice(sort=10, top=1)).panels
    assert list(digits.accuracy["method"]) == ["dm"]
    assert list(cifar.accuracy["method"]) == ["dc", "dm"]
    assert "No row has an accuracy at IPC 10: all are shown, by name." in cifar.notes


def test_rows_without_an_accuracy_there_are_none_of_the_best():
    found, _ = shown(top=9, sort=10)
    assert found == ["dm", "dc", "random_real"]
