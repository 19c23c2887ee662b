"""Tests of rankings: their numbers are those of `ddbench table`, and what does not compare stands in different ones."""

from __future__ import annotations

import json

import pytest

from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import read_results
from ddbench.site.left_out import sort_out
from ddbench.site.rankings import panels_of, rankings_of
from ddbench.site.writing import write_site
from ddbench.tables.formats import render
from ddbench.tables.table import make_table
from tests.report._results import recorded, varied
from tests.site._page import Page
from tests.tables._made import GPU, make_result, phase

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))


def rankings(results):
    return rankings_of(panels_of(results))


def seeds(method="dm", values=(0.5, 0.52, 0.54), **fields):
    return [make_result(method, 10, seed, (value,), **fields) for seed, value in enumerate(values)]


def test_numbers_of_the_page_are_those_of_the_table(tmp_path):
    results = read_results(RECORDED)
    page = Page(write_site(results, tmp_path / "site").index.read_text(encoding="utf-8"))
    sound, _ = sort_out(results)
    blocks = json.loads(render(make_table(sound, mix_protocols=True), "json"))["blocks"]
    expected = {}
    for row in (row for block in blocks for row in block["rows"]):
        if row["ipc"] != "full" and row["accuracy_mean"] is not None:
            place = (row["dataset"], str(row["ipc"]), row["protocol"], row["network"], row["method"], row["config"])
            std = "" if row["accuracy_std"] is None else f" \N{PLUS-MINUS SIGN} {row['accuracy_std']:.1f}"
            expected.setdefault(place, []).append(f"{row['accuracy_mean']:.1f}{std} {row['seeds']} {row['students']}")
    found = {}
    for article, rows in page.articles[1:]:
        for row in rows:
            if "data-method" in row.attributes:
                texts = [" ".join(text.split()) for text, _ in row.cells]
                config = texts[1].removeprefix(row.attributes["data-method"]).strip()
                named = [article[f"data-{name}"] for name in ("dataset", "ipc", "protocol", "network")]
                counts = texts[5].replace("\N{MULTIPLICATION SIGN} ", "")
                accuracy = texts[2].split(" of ")[0]
                place = (*named, row.attributes["data-method"], " ".join(config.split()))
                found.setdefault(place, []).append(f"{accuracy} {counts}")
    spaced = {(*place[:5], " ".join(place[5].split())): sorted(texts) for place, texts in expected.items()}
    assert {place: sorted(texts) for place, texts in found.items()} == spaced
    assert len(found) > 100


def test_rows_stand_from_the_highest_mean_down_and_equal_means_share_a_place():
    results = [*seeds("a", (0.5, 0.6)), *seeds("b", (0.7, 0.8)), *seeds("c", (0.5, 0.6)), *seeds("d", (0.1, 0.2))]
    (ranking,) = rankings(results)
    assert [(row.place, row.entry.method) for row in ranking.rows] == [(1, "b"), (2, "a"), (2, "c"), (4, "d")]


def test_intervals_are_students_t_over_sets_and_a_single_set_has_none():
    (ranking,) = rankings([*seeds("three"), *seeds("one", (0.9,))])
    one, three = ranking.rows
    low, high = three.interval
    assert (low, high) == pytest.approx((52 - 4.302653 * 2 / 3**0.5, 52 + 4.302653 * 2 / 3**0.5), abs=1e-4)
    assert one.interval is None
    assert one.interval_text == "\N{EN DASH}"
    assert three.mark.standing == "untested"


def test_marks_say_what_cannot_be_told_from_the_best():
    results = [
        *seeds("best", (0.90, 0.92, 0.91)),
        *seeds("same", (0.91, 0.90, 0.92)),
        *seeds("worse", (0.5, 0.51, 0.52)),
    ]
    (ranking,) = rankings(results)
    assert {row.entry.method: row.mark.standing for row in ranking.rows} == {
        "best": "best",
        "same": "same",
        "worse": "worse",
    }


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "other"},
        {"protocol_hash": "bbbb"},
        {"protocol": "brief"},
        {"network": "mlp"},
        {"label_mode": "soft"},
        {"dataset_fingerprint": "c1-0123456789abcdef"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_does_not_compare_stands_in_rankings_of_its_own(other):
    found = rankings([*seeds("a", dataset_fingerprint="c1-f1f1f1f1f1f1f1f1"), *seeds("b", **other)])
    assert [[row.entry.method for row in ranking.rows] for ranking in found] in ([["a"], ["b"]], [["b"], ["a"]])
    assert len({ranking.title for ranking in found}) == 2


def test_a_teacher_of_the_protocol_makes_labels_soft():
    teacher = {"network": "mlp", "origin": "trained", "sha256": "0" * 64, "num_bytes": 9, "test_accuracy": 0.5}
    (ranking,) = rankings(seeds(teacher=teacher))
    assert ranking.labels == "soft"


def test_whole_training_set_stands_beside_and_is_no_rival():
    (ranking,) = rankings([*seeds("dm"), make_result("full_real", None, 0, (0.9,))])
    assert [row.entry.method for row in ranking.rows] == ["dm"]
    assert ranking.whole_text == "90.0"


def test_cost_is_that_of_making_a_set_on_the_machine_with_most_results():
    made = (phase("prepare", 1.0, gpu=2**20), phase("distill", 4.0, gpu=3 * 2**20), phase("evaluate", 99.0, gpu=2**30))
    (ranking,) = rankings([*seeds("dm", machine=GPU, phases=made), *seeds("herding")])
    dm, herding = ranking.rows
    assert (dm.cost.seconds, dm.cost.peak_text) == (5.0, "3.0 MiB GPU")
    assert (herding.cost.seconds, herding.cost.peak_text) == (3.0, "3.0 MiB")
    assert {dm.cost.machine, herding.cost.machine} == {"A", "B"}
    assert [letter for letter in ranking.machines.values()] == ["A", "B"]


def test_a_result_without_a_number_has_no_row_and_lessens_none():
    results = [*seeds("dm"), make_result("dm", 10, 7, status="failed", reason="no memory left")]
    (ranking,) = rankings([*results, make_result("dc", 10, 0, status="skipped", reason="cannot")])
    (row,) = ranking.rows
    assert row.accuracy.seeds == 3
    assert row.problems == "1 of 4 without a number"


def test_published_numbers_stand_beside_as_in_the_table():
    results = [r for r in read_results(RECORDED) if r.dataset == "cifar10" and r.protocol == "dsa" and r.ipc == 1]
    rows = {row.entry.method: row for ranking in rankings(results) for row in ranking.rows}
    assert rows["random_real"].published == "15.4 \N{PLUS-MINUS SIGN} 0.3 [1]"
    assert rows["random_real"].published_number == "15.4 \N{PLUS-MINUS SIGN} 0.3"
    assert rows["dm"].published == "settings differ"
    assert rows["dm"].verdict == ""


def test_no_results_give_no_rankings():
    assert rankings([]) == ()
    assert rankings([varied(values=(), key="0")]) == ()
    assert recorded().method == "random_real"
