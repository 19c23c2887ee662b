"""`ddbench compare`: entries matched and tested, verdicts in words, what is refused, and the table of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ddbench.analysis.comparison import Side, compare_methods, compare_sides
from ddbench.analysis.significance import difference_of_means, holm, paired_difference
from ddbench.cli.main import main
from ddbench.errors import BadInputError
from ddbench.records import Metric, Result
from ddbench.runs.results_store import write_lines
from ddbench.tables.comparison_table import comparison_table
from ddbench.tables.formats import RENDERERS, render

SEEDS = range(5)


def make_result(method="dm", seed=0, values=(70.0,), ipc=10, **fields) -> Result:
    shares = tuple(value / 100 for value in values)
    metric = Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=shares or (0.0,))
    content = {
        "key": f"{method}-{ipc}-{seed}-{sorted(fields.items())}",
        "dataset": "digits",
        "dataset_fingerprint": "f1",
        "network": "convnet",
        "students": len(values),
        "eval_seed": 0,
        "config": {},
        "protocol": "quick",
        "protocol_hash": "aaaa",
        "status": "ok",
        "metrics": (metric,) if shares else (),
        **fields,
    }
    return Result(method=method, ipc=ipc, distill_seed=seed, **content)


def make_runs(method, mean, seeds=SEEDS, spread=1.0, **fields) -> list[Result]:
    return [make_result(method, seed, (mean + spread * np.sin(7 * seed),), **fields) for seed in seeds]


def rows_of(comparison):
    return [row for group in comparison.groups for row in group.rows]


def notes_of(comparison) -> str:
    return "\n".join(note for panel in comparison_table(comparison).panels for note in panel.notes)


# Tests and verdicts


def test_shared_seeds_are_paired_students_averaged_first():
    ours = [make_result("dm", seed, (70 + seed, 72 + seed)) for seed in SEEDS]
    theirs = [make_result("random_real", seed, (60.0 + seed**2,)) for seed in SEEDS]
    (row,) = rows_of(compare_methods("dm", "random_real", ours + theirs))
    expected = paired_difference([71, 72, 73, 74, 75], [60, 61, 64, 69, 76], alternative="two-sided")
    assert row.is_paired
    assert (row.estimate.effect, row.estimate.p) == pytest.approx((expected.effect, expected.p))
    assert row.verdict == "dm higher"


def test_other_seeds_are_compared_unpaired_and_that_is_said():
    ours, theirs = make_runs("dm", 70), make_runs("random_real", 69, range(3, 10))
    comparison = compare_methods("dm", "random_real", ours + theirs)
    (row,) = rows_of(comparison)
    values = [[100 * result.metrics[0].mean for result in side] for side in (ours, theirs)]
    assert row.estimate.p == pytest.approx(difference_of_means(*values, alternative="two-sided").p)
    assert row.estimate.n == (5, 7)
    assert "IPC 10: seeds unpaired, because 2 are shared" in notes_of(comparison)


def test_further_seeds_of_a_side_are_left_out_of_the_pairs_and_that_is_said():
    comparison = compare_methods("dm", "mtt", make_runs("dm", 70, range(3)) + make_runs("mtt", 60, range(9)))
    assert rows_of(comparison)[0].estimate.n == (3,)
    assert "the difference uses the 3 seeds that both sides have; the means also count 6 more of mtt" in notes_of(
        comparison
    )


def test_p_is_corrected_over_all_rows_and_verdicts_follow_it():
    results = []
    for ipc, gap in ((1, 0.0), (10, 0.9), (50, 30.0)):
        results += [make_result("dm", seed, (60 + gap + (seed - 2) / 2,), ipc) for seed in SEEDS]
        results += [make_result("mtt", seed, (60 + (seed % 2),), ipc) for seed in SEEDS]
    comparison = compare_methods("mtt", "dm", results)
    rows = rows_of(comparison)
    assert [row.a.ipc for row in rows] == [1, 10, 50]
    assert [row.p_holm for row in rows] == holm([row.estimate.p for row in rows])
    assert [row.verdict for row in rows] == ["not distinguishable", "not distinguishable", "dm higher"]
    assert comparison.tests == 3
    assert "Not distinguishable: these seeds do not tell the two apart" in notes_of(comparison)


def test_the_same_numbers_are_not_distinguishable_and_an_exact_difference_is():
    a, b = Side("A", tuple(make_runs("dm", 70))), Side("B", tuple(make_runs("dm", 70)))
    assert rows_of(compare_sides(a, b))[0].verdict == "not distinguishable"
    assert "both sides give the same numbers" in notes_of(compare_sides(a, b))
    better = Side("B", tuple(make_runs("dm", 71)))
    assert rows_of(compare_sides(a, better))[0].verdict == "B higher"


def test_two_seeds_that_agree_by_chance_give_no_verdict():
    comparison = compare_methods("dm", "mtt", make_runs("dm", 71, range(2)) + make_runs("mtt", 70, range(2)))
    (row,) = rows_of(comparison)
    assert (row.verdict, row.estimate, row.p_holm) == ("too few seeds", None, None)
    assert "2 and 2 seeds, 2 of them shared; a verdict needs 3 a side" in notes_of(comparison)
    assert comparison_table(comparison).rows[0]["difference"] == pytest.approx(1.0)


def test_a_fair_coin_is_called_at_most_at_the_level():
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(200):
        draws = rng.normal(70, 1, (2, 3, 5))
        results = [
            make_result(method, seed, (draws[side, ipc, seed],), ipc + 1)
            for side, method in enumerate(("dm", "mtt"))
            for ipc in range(3)
            for seed in SEEDS
        ]
        called += any(row.verdict.endswith("higher") for row in rows_of(compare_methods("dm", "mtt", results)))
    assert called <= 22  # 5 % of 200 comparisons of three rows, with a chance of 1e-4 to be above


# Matching


def test_folders_are_matched_by_method_and_a_changed_setting_is_said():
    a = Side("A", tuple(make_runs("dm", 70, config={"lr": 1.0}) + make_runs("mtt", 80)))
    b = Side("B", tuple(make_runs("dm", 65, config={"lr": 2.0})))
    comparison = compare_sides(a, b)
    assert [(row.a.method, row.verdict) for row in rows_of(comparison)] == [("dm", "A higher")]
    assert "dm, IPC 10: settings differ: A lr=1.0; B lr=2.0." in notes_of(comparison)
    assert "Not compared: mtt at IPC 10 of A (80" in notes_of(comparison)


def test_equal_settings_stand_against_each_other_in_folders_and_all_of_two_methods():
    settings = [make_runs("dm", 70 + lr, config={"lr": lr}) for lr in (1.0, 2.0)]
    both = tuple(settings[0] + settings[1])
    rows = rows_of(compare_sides(Side("A", both), Side("B", both)))
    assert [(row.a.config, row.b.config) for row in rows] == [("lr=1.0", "lr=1.0"), ("lr=2.0", "lr=2.0")]
    comparison = compare_methods("dm", "mtt", [*both, *make_runs("mtt", 60)])
    assert [row.a.config for row in rows_of(comparison)] == ["lr=1.0", "lr=2.0"]
    (panel,) = comparison_table(comparison).panels
    assert "settings of dm 2: lr=2.0" in panel.header
    assert list(panel.accuracy["settings"]) == ["1 / –", "2 / –"]  # noqa: RUF001


def test_failures_duplicates_and_shared_preparation_are_said():
    results = [*make_runs("dm", 70), make_result("dm", 9, (), status="failed", reason="lost"), *make_runs("mtt", 60)]
    results += make_runs("dm", 40, range(1), key="again", started_at="2027")
    results = [r.model_copy(update={"foundation": "f"}) if r.method == "mtt" else r for r in results]
    notes = notes_of(compare_methods("dm", "mtt", results))
    assert "1 of 6 results of dm left out: failed" in notes
    assert "Duplicate results left out: 1" in notes
    assert "mtt: all seeds share one preparation" in notes


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol_hash": "bbbb"}, "must share one content of protocol quick, got aaaa, bbbb"),
        ({"dataset_fingerprint": "f2"}, "must share one content of the data, got f1, f2"),
        ({"protocol": "dsa"}, "no entry has an accuracy on both sides: dm has dm on digits under quick"),
        ({"ipc": 50}, "no entry has an accuracy on both sides"),
    ],
)
def test_what_cannot_be_compared_is_refused(fields, reason):
    with pytest.raises(BadInputError, match=reason) as error:
        compare_methods("dm", "mtt", make_runs("dm", 70) + make_runs("mtt", 60, **fields))
    assert "\n" not in str(error.value)


def test_an_older_result_is_compared_with_one_of_the_same_layout_and_not_with_another():
    new = {"dataset_fingerprint": "c1-aa", "dataset_layout": "f1"}
    assert compare_methods("dm", "mtt", make_runs("dm", 70) + make_runs("mtt", 60, **new)).tests == 1
    other = make_runs("mtt", 60, dataset_fingerprint="c1-aa", dataset_layout="f2")
    with pytest.raises(BadInputError, match="content of the data, got c1-aa, f1"):
        compare_methods("dm", "mtt", make_runs("dm", 70) + other)


# The command


@pytest.fixture
def folder(tmp_path):
    write_lines(make_runs("dm", 70) + make_runs("random_real", 60), tmp_path / "a.jsonl")
    write_lines(make_runs("dm", 65), tmp_path / "b.jsonl")
    return tmp_path


def test_compare_prints_two_methods(folder, capsys):
    assert main(["compare", "dm", "random_real", str(folder / "a.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "dm higher" in out
    assert "digits, protocol quick@aaaa, network convnet" in out


def test_compare_prints_two_folders_as_json(folder, capsys):
    assert main(["compare", str(folder / "a.jsonl"), str(folder / "b.jsonl"), "--format", "json"]) == 0
    (panel,) = json.loads(capsys.readouterr().out)["blocks"]
    (row,) = panel["rows"]
    assert (row["a"], row["b"], row["method"], row["verdict"], row["difference"]) == ("A", "B", "dm", "A higher", 5.0)
    assert "a.jsonl" in panel["header"][0]


def test_every_format_shows_the_verdict(folder):
    comparison = compare_methods("dm", "random_real", make_runs("dm", 70) + make_runs("random_real", 60))
    texts = {fmt: render(comparison_table(comparison), fmt) for fmt in RENDERERS if fmt != "terminal"}
    assert [fmt for fmt, text in texts.items() if "dm higher" not in text] == []


def test_compare_writes_a_file(folder):
    out = folder / "compared.md"
    assert main(["compare", "dm", "random_real", str(folder / "a.jsonl"), "--out", str(out)]) == 0
    assert "| dm higher |" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["dm", "random_real"], "dm is not a results folder"),
        (["dm", "dm", "a.jsonl"], "two different methods, got dm twice"),
        (["dm", "random", "a.jsonl"], "no method 'random'; did you mean random_real"),
        (["a.jsonl", "a.jsonl"], "two different folders"),
        (["a.jsonl", "b.jsonl", "--level", "95"], "level must lie between 0 and 1"),
        (["dm", "random_real", "c.jsonl"], "c.jsonl does not exist"),
    ],
)
def test_a_mistake_is_one_line(folder, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(folder)
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err
    assert captured.err.count("\n") == 1
