"""Tests of marks in every text format, and of the column of gains over random real images."""

import re

import pytest
from scipy import stats

from ddbench.records import Metric, Result
from ddbench.tables.formats import render
from ddbench.tables.table import make_table

ACCURACIES = {
    "random_real": {0: 0.50, 1: 0.52, 2: 0.51},
    "dm": {0: 0.70, 1: 0.71, 2: 0.72},
    "mtt": {0: 0.69, 1: 0.72, 2: 0.70},
    "dc": {5: 0.60, 6: 0.61},
    "dsa": {0: 0.4},
}


def results():
    return [
        Result(
            key=f"{method}{seed}", method=method, dataset="digits", ipc=1, network="mlp", students=1,
            distill_seed=seed, eval_seed=0, config={}, protocol="quick", protocol_hash="x", status="ok",
            metrics=(Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=(accuracy,)),),
        )
        for method, seeds in ACCURACIES.items()
        for seed, accuracy in seeds.items()
    ]  # fmt: skip


@pytest.fixture
def table():
    return make_table(results(), gain=True)


def test_the_best_is_bold_and_what_cannot_be_told_from_it_marked(table):
    markdown, latex = render(table, "md"), render(table, "latex")
    assert "**71.0 ± 1.0**" in markdown
    assert "70.3 ± 1.5 ≈" in markdown
    assert re.search(r"60\.5 ± 0\.7 +\|", markdown)
    assert r"\textbf{71.0 $\pm$ 1.0}" in latex
    assert r"70.3 $\pm$ 1.5 $\approx$" in latex
    (note,) = (note for note in table.panels[0].notes if note.startswith("Bold or *"))
    assert "not distinguishable from it" in note
    assert "Welch" in note


def test_a_terminal_keeps_numbers_in_line(table):
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=80)
    console.print(render(table, "terminal"))
    lines = [line for line in console.file.getvalue().splitlines() if "±" in line][:4]
    assert any(line.rstrip().endswith("*") for line in lines)
    assert any(line.rstrip().endswith("≈") for line in lines)
    assert len({line.index("±") for line in lines}) == 1


def test_gains_are_paired_by_seed_where_both_sides_have_the_same_seeds(table):
    (frame,) = (frame for caption, frame in table.panels[0].parts if caption.startswith("Less random_real"))
    gains = dict(zip(frame["method"], frame["IPC 1"], strict=True))
    differences = [20.0, 19.0, 21.0]
    low, high = stats.t.interval(0.95, 2, loc=20.0, scale=stats.sem(differences))
    assert gains["dm"] == f"+20.0 [{low:+.1f}, {high:+.1f}]"
    unpaired = stats.ttest_ind([60, 61], [50, 52, 51], equal_var=False).confidence_interval()
    assert gains["dc"] == f"+9.5 [{unpaired.low:+.1f}, {unpaired.high:+.1f}]"
    assert gains["dsa"] == "-11.0"
    assert "random_real" not in gains


def test_without_random_images_or_the_wish_there_is_no_column():
    assert not len(make_table(results()).panels[0].gain)
    others = [result for result in results() if result.method != "random_real"]
    panel = make_table(others, gain=True).panels[0]
    assert not len(panel.gain)
    assert [note for note in panel.notes if "no random_real with an accuracy stands beside a method" in note]
    assert not [note for note in make_table(others).panels[0].notes if "random_real" in note]


def test_one_method_has_no_marks():
    alone = [result for result in results() if result.method == "dm"]
    assert not make_table(alone).panels[0].standings
    assert "**71" not in render(make_table(alone), "md")
