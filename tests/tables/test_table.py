"""Comparison tables: the arithmetic of entries, what is shown, and that every format can be read back."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ddbench.analysis.aggregate import GAP, TIMES, costs_of, machine_label, spread_of, varying_keys
from ddbench.errors import BadInputError
from ddbench.records import Metric, Phase, Reading, Result
from ddbench.tables.formats import RENDERERS, render
from ddbench.tables.quantities import bytes_text, seconds_text
from ddbench.tables.table import make_table

CPU = {"id": "a1b2", "processor": "Test CPU", "threads": 2, "device": "cpu", "gpu": None}
GPU = {"id": "ff00", "processor": "Test CPU", "threads": 8, "device": "cuda", "gpu": "Test GPU"}
MIB = 2**20


def phase(name: str, seconds: float, *, gpu: int | None = None, host: int | None = 3 * MIB, cached: bool = False):
    reserved = None if gpu is None else 2 * gpu
    reading = Reading(
        seconds=seconds,
        peak_allocated_bytes=gpu,
        peak_reserved_bytes=reserved,
        peak_host_bytes=host,
        host_source="resident peak, reset per phase",
    )
    return Phase(name=name, reading=reading, cached=cached)


def accuracy(*values: float) -> tuple[Metric, ...]:
    return (Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=values),) if values else ()


def make_result(method: str = "dm", ipc: int | None = 10, seed: int = 0, values=(0.5, 0.6), **fields) -> Result:
    ok = fields.get("status", "ok") == "ok"
    defaults = {
        "key": f"{method}-{ipc}-{seed}-{sorted(fields.items())}",
        "dataset": "digits",
        "dataset_fingerprint": "f1",
        "network": "convnet-d2",
        "students": len(values),
        "eval_seed": 0,
        "config": {},
        "protocol": "quick",
        "protocol_hash": "aaaa",
        "status": "ok",
        "metrics": accuracy(*values) if ok else (),
        "phases": (phase("distill", 2.0 + seed), phase("evaluate", 30.0)) if ok else (),
        "distilled_bytes": 1024 if ok else None,
        "space": "normalised" if ok else "",
        "label_mode": "hard" if ok else "",
        "machine": CPU,
        "started_at": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }
    return Result(method=method, ipc=ipc, distill_seed=seed, **{**defaults, **fields})


def pivot(results, **options) -> pd.DataFrame:
    return only_panel(results, **options).accuracy.set_index("method")


def only_panel(results, **options):
    (panel,) = make_table(results, **options).panels
    return panel


def notes_of(results, **options) -> str:
    return "\n".join(only_panel(results, **options).notes)


# Arithmetic


def test_students_are_averaged_per_set_before_the_spread_is_taken():
    results = [make_result(seed=0, values=(0.2, 0.4)), make_result(seed=1, values=(0.5, 0.5, 0.8))]
    spread = spread_of(results, "test_accuracy")
    # Sets 30 and 60: mean 45, sample standard deviation 15 * sqrt 2. Pooled students would give mean 48.
    assert spread.mean == pytest.approx(45)
    assert spread.std == pytest.approx(15 * math.sqrt(2))
    assert (spread.seeds, spread.students) == (2, (2, 3))
    assert spread.counts == f"2 seeds {TIMES} 2-3 students"
    assert pivot(results).loc["dm", "IPC 10"] == "45.0 ± 21.2"


def test_evaluation_seeds_of_one_set_count_as_students_of_that_set():
    results = [make_result(values=(0.2,), eval_seed=0), make_result(values=(0.4,), eval_seed=1)]
    spread = spread_of(results, "test_accuracy")
    assert (spread.mean, spread.std, spread.seeds, spread.students) == (pytest.approx(30), None, 1, (2, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=5))
def test_spread_equals_a_naive_loop(sets):
    spread = spread_of([make_result(seed=i, values=tuple(v)) for i, v in enumerate(sets)], "test_accuracy")
    means = []
    for values in sets:
        total = 0.0
        for value in values:
            total += 100 * value
        means.append(total / len(values))
    mean = sum(means) / len(means)
    assert spread.mean == pytest.approx(mean, abs=1e-9)
    if len(means) == 1:
        assert spread.std is None
    else:
        variance = sum((m - mean) ** 2 for m in means) / (len(means) - 1)
        assert spread.std == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_one_seed_has_no_spread_and_says_so():
    results = [make_result(values=(0.5, 0.6))]
    assert pivot(results).loc["dm", "IPC 10"] == "55.0"
    assert "no spread" in notes_of(results)


def test_costs_are_medians_and_the_peak_is_that_of_making_the_set():
    results = [
        make_result(
            seed=seed, machine=GPU, phases=(phase("prepare", 100, gpu=5 * MIB), phase("distill", s, gpu=g * MIB))
        )
        for seed, (s, g) in enumerate([(1, 1), (2, 9), (90, 2)])
    ]
    costs = costs_of(results)
    assert costs["distill_seconds"] == 2
    assert costs["prepare_seconds"] == 100
    assert costs["evaluate_seconds"] is None
    assert costs["distill_peak_allocated_bytes"] == 2 * MIB
    assert costs["making_peak_allocated_bytes"] == 5 * MIB  # of 5, 9, 5
    row = only_panel(results).cost.iloc[0]
    assert row["GPU allocated"] == "5.0 MiB"
    assert row["GPU reserved"] == "10.0 MiB"
    assert row["set size"] == "1.0 KiB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, GAP), (0.001, "<0.01"), (1.234, "1.23"), (45.67, "45.7"), (12345.6, "12,346")]
)
def test_seconds_have_about_three_digits(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, GAP), (0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (900 * MIB, "900 MiB"), (3 * 2**40, "3.0 TiB")],
)
def test_bytes_have_binary_units(size, text):
    assert bytes_text(size) == text


def test_varying_keys_are_those_whose_values_differ_or_are_missing():
    assert varying_keys([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None}]) == ("b", "c")


# What is shown


def test_a_phase_that_nobody_has_is_no_column():
    assert "prepare (s)" not in only_panel([make_result()]).cost
    prepared = make_result("mtt", phases=(phase("prepare", 9), phase("distill", 1)))
    assert only_panel([make_result(), prepared]).cost["prepare (s)"].tolist() == [GAP, "9.00"]


def test_no_gpu_is_said_and_never_zero():
    panel = only_panel([make_result()])
    assert not any("GPU" in column for column in panel.cost)
    assert any("no GPU" in line for line in panel.header)
    record = make_table([make_result()]).rows[0]
    assert record["distill_peak_allocated_bytes"] is None


def test_of_several_machines_those_without_a_gpu_say_so():
    on_gpu = make_result(seed=1, machine=GPU, phases=(phase("distill", 1, gpu=MIB),))
    cost = only_panel([make_result(), on_gpu]).cost
    assert cost["GPU allocated"].tolist() == ["no GPU", "1.0 MiB"]
    assert cost["GPU reserved"].tolist() == ["no GPU", "2.0 MiB"]


def test_random_comes_first_and_the_whole_set_last():
    results = [make_result("full_real", None), make_result("mtt"), make_result("random_real"), make_result("dm")]
    assert list(pivot(results).index) == ["random_real", "dm", "mtt", "full_real"]


def test_ipcs_are_columns_in_numeric_order_with_the_whole_set_last():
    results = [make_result(ipc=50), make_result(ipc=1), make_result("full_real", None), make_result(ipc=10)]
    assert list(pivot(results).columns) == ["IPC 1", "IPC 10", "IPC 50", "full"]


def test_a_gap_is_explicit_and_what_does_not_apply_is_blank():
    frame = pivot([make_result("dm", 1), make_result("mtt", 10), make_result("full_real", None)])
    assert frame.loc["dm"].tolist() == ["55.0", GAP, ""]
    assert frame.loc["full_real"].tolist() == ["", "", "55.0"]


@pytest.mark.parametrize(
    ("status", "word"), [("failed", "failed"), ("skipped", "skipped"), ("out_of_memory", "out of memory")]
)
def test_entries_that_did_not_end_well_show_status_and_reason(status, word):
    results = [make_result(), make_result("mtt", status=status, reason="because of\nthis")]
    assert pivot(results).loc["mtt", "IPC 10"] == word
    assert f"mtt, IPC 10: {word}, seed 0: because of this" in notes_of(results)


def test_a_partly_failed_entry_shows_both():
    results = [make_result(seed=0), make_result(seed=1), make_result(seed=2, status="failed", reason="boom")]
    assert pivot(results).loc["dm", "IPC 10"] == "55.0 ± 0.0 (1 of 3 failed)"
    assert "dm, IPC 10: failed, seed 2: boom" in notes_of(results)
    record = make_table(results).rows[0]
    assert (record["status"], record["results_ok"], record["results_not_ok"], record["reason"]) == ("ok", 2, 1, "boom")


def test_counts_stand_in_the_header_and_exceptions_in_the_notes():
    results = [make_result("dm", 1, s) for s in range(3)] + [make_result("dm", 10, s) for s in range(3)]
    results.append(make_result("random_real", 10))
    panel = only_panel(results)
    assert f"each entry: 3 seeds {TIMES} 2 students; other counts are in the notes" in panel.header
    assert f"1 seed {TIMES} 2 students: random_real IPC 10." in panel.notes


def test_duplicates_are_reported_and_never_averaged_in():
    first = make_result(values=(0.5,), key="same", started_at="2026-01-01")
    second = make_result(values=(0.9,), key="same", started_at="2026-01-02")
    for results in ([first, second], [second, first]):
        assert pivot(results).loc["dm", "IPC 10"] == "50.0"
        assert "Duplicate: dm, IPC 10, seed 0 was found 2 times; shown is 50.0 %" in notes_of(results)
        assert "90.0 % (started 2026-01-02)" in notes_of(results)
        assert make_table(results).rows[0]["duplicates"] == 1


def test_the_same_seeds_under_another_key_are_duplicates_too():
    results = [make_result(values=(0.5,), key="a"), make_result(values=(0.9,), key="b", students=7)]
    assert pivot(results).loc["dm", "IPC 10"] == "50.0"


def test_a_run_that_ended_well_replaces_an_earlier_failure():
    failed = make_result(key="same", status="failed", reason="x", started_at="2026-01-01")
    assert pivot([failed, make_result(key="same", started_at="2026-01-02")]).loc["dm", "IPC 10"] == "55.0"


def test_protocol_contents_are_not_mixed_unless_asked():
    results = [make_result("dm"), make_result("mtt", protocol_hash="bbbb")]
    with pytest.raises(BadInputError, match=r"aaaa \(1 results\), bbbb \(1 results\).*--mix-protocols"):
        make_table(results)
    frame = pivot(results, mix_protocols=True)
    assert frame["protocol hash"].to_dict() == {"dm": "aaaa", "mtt": "bbbb"}


def test_mixed_protocol_contents_of_one_method_stay_apart():
    results = [make_result(values=(0.4,)), make_result(values=(0.6,), protocol_hash="bbbb")]
    frame = only_panel(results, mix_protocols=True).accuracy
    assert frame[["protocol hash", "IPC 10"]].to_numpy().tolist() == [["aaaa", "40.0"], ["bbbb", "60.0"]]


def test_each_dataset_protocol_and_network_has_its_own_panel():
    results = [
        make_result(),
        make_result(dataset="cifar10"),
        make_result(protocol="dsa", protocol_hash="cccc"),
        make_result(network="mlp"),
    ]
    assert [panel.title for panel in make_table(results).panels] == [
        "cifar10, protocol quick@aaaa, network convnet-d2",
        "digits, protocol dsa@cccc, network convnet-d2",
        "digits, protocol quick@aaaa, network convnet-d2",
        "digits, protocol quick@aaaa, network mlp",
    ]


def test_data_of_another_fingerprint_is_another_panel_and_a_failure_without_one_joins():
    early = make_result("mtt", status="failed", reason="no data", dataset_fingerprint="")
    table = make_table([make_result(), make_result("dc", dataset_fingerprint="f2"), early])
    assert [panel.title[:16] for panel in table.panels] == ["digits (data f1)", "digits (data f2)"]
    assert table.panels[0].accuracy["method"].tolist() == ["dm", "mtt"]
    assert len(make_table([make_result(), early]).panels) == 1


def test_older_results_of_the_same_layout_stand_with_those_of_known_content_and_one_note_says_so():
    new = {"dataset_fingerprint": "c1-aa", "dataset_layout": "f1"}
    (panel,) = make_table([make_result(), make_result("dc", **new), make_result("dc", seed=1, **new)]).panels
    assert panel.accuracy["method"].tolist() == ["dc", "dm"]
    assert panel.header[0] == "data fingerprint: c1-aa"
    assert "(data" not in panel.title
    assert panel.notes[-1].startswith("1 of 3 results were recorded before fingerprints were of the content")
    for alone in ([make_result()], [make_result("dc", **new)]):
        assert not any("fingerprints were of the content" in note for note in make_table(alone).panels[0].notes)


def test_where_one_layout_has_two_contents_the_older_results_stand_alone():
    new = {"dataset_layout": "f1"}
    results = [make_result(), *(make_result("dc", dataset_fingerprint=f"c1-{x}", **new) for x in "ab")]
    titles = [panel.title for panel in make_table(results).panels]
    assert [title[:18] for title in titles] == ["digits (data c1-a)", "digits (data c1-b)", "digits (data f1), "]


def test_a_run_of_known_content_is_shown_rather_than_an_older_one_of_the_same():
    new = {"dataset_fingerprint": "c1-aa", "dataset_layout": "f1", "started_at": "2026-03-01"}
    (panel,) = make_table([make_result(started_at="2026-01-01"), make_result(**new, key="k2")]).panels
    assert panel.rows[0]["dataset_fingerprint"] == "c1-aa"
    assert panel.rows[0]["duplicates"] == 1


def test_what_belongs_to_the_set_is_a_column_only_where_rows_differ():
    assert list(pivot([make_result(), make_result("dc")]).columns) == ["IPC 10"]
    learned = [make_result("mtt", seed=seed, student_lr=0.01 * (seed + 1), label_mode="soft") for seed in range(2)]
    frame = pivot([make_result(), *learned, make_result("kip", status="failed", reason="x")])
    assert list(frame.columns) == ["labels", "student lr", "IPC 10"]
    assert frame.loc["mtt", ["labels", "student lr"]].tolist() == ["soft", "0.01, 0.02"]
    assert frame.loc["dm", ["labels", "student lr"]].tolist() == ["hard", "protocol's"]
    assert frame.loc["kip", ["labels", "student lr"]].tolist() == [GAP, GAP]


def test_a_teachers_labels_are_named_where_it_replaces_those_of_the_set():
    teacher = {"network": "x", "origin": "trained", "sha256": "0", "num_bytes": 1, "test_accuracy": 0.9}
    taught = [make_result("dm", teacher=teacher), make_result("mtt", label_mode="soft", teacher=teacher)]
    assert list(pivot(taught).columns) == ["IPC 10"]
    assert any("teacher labels" in line for line in only_panel(taught).header)


def test_a_learned_rate_that_all_rows_share_is_in_the_header():
    learned = [make_result("mtt", seed=seed, student_lr=0.02, space="zca") for seed in range(2)]
    assert "distilled sets: space zca, hard labels, learned student lr 0.02" in only_panel(learned).header
    assert not any("student lr" in line for line in only_panel([make_result()]).header)


def test_configs_of_one_ipc_are_rows_and_configs_by_ipc_are_a_note():
    both = [make_result(config={"lr": 1.0, "steps": 5}), make_result(config={"lr": 2.0, "steps": 5}, values=(0.9,))]
    frame = only_panel(both).accuracy
    assert frame[["config", "IPC 10"]].to_numpy().tolist() == [["lr=1.0", "55.0"], ["lr=2.0", "90.0"]]
    by_ipc = [make_result(config={"lr": 1.0}), make_result(ipc=50, config={"lr": 10.0})]
    assert "config" not in only_panel(by_ipc).accuracy
    assert "dm: config lr is 1.0 at IPC 10; 10.0 at IPC 50." in notes_of(by_ipc)


def test_machines_are_a_cost_column_only_where_they_differ():
    assert "machine" not in only_panel([make_result()]).cost
    fast = make_result(seed=1, machine=GPU, phases=(phase("distill", 0.5, gpu=MIB),))
    panel = only_panel([make_result(), fast])
    assert panel.accuracy["IPC 10"].tolist() == ["55.0 ± 0.0"]
    costs = panel.cost.set_index("machine")["distill (s)"].to_dict()
    assert costs == {"A": "2.00", "B": "0.50"}
    assert "machines: A = Test CPU, 2 threads, no GPU (a1b2); B = Test GPU (ff00)" in panel.header


def test_a_machine_without_description_has_a_label():
    assert machine_label({}) == "unknown machine, no GPU"


def test_sharing_and_reuse_of_a_preparation_are_stated():
    shared = [
        make_result("mtt", seed=s, share_prepare=True, phases=(phase("prepare", 9, cached=s > 0),)) for s in range(2)
    ]
    notes = notes_of(shared)
    assert "mtt: share_prepare" in notes
    assert "shown at what it cost then: mtt (prepare)" in notes


def test_a_foundation_shared_by_all_seeds_is_stated():
    founded = [make_result("minimax", seed=s, foundation="backbone") for s in range(2)]
    assert "minimax: one backbone serves all seeds" in notes_of(founded)
    assert "serves all seeds" not in notes_of([make_result()])


def test_further_metrics_have_their_own_part():
    extra = Metric(name="test_accuracy[mlp]", unit="fraction", higher_is_better=True, values=(0.25, 0.75))
    shown_elsewhere = Metric(name="distill_seconds", unit="seconds", higher_is_better=False, values=(2.0,))
    result = make_result(metrics=(*accuracy(0.5), extra, shown_elsewhere))
    panel = only_panel([result, make_result("dc")])
    assert panel.others.to_dict("list") == {"metric": ["test_accuracy[mlp] (%)"], "method": ["dm"], "IPC 10": ["50.0"]}
    assert panel.rows[1]["test_accuracy[mlp]_mean"] == 50


def test_further_metrics_stand_by_ipc_and_the_fullest_entry_gives_their_order():
    def cosine(name, value, basis=""):
        return Metric(name=name, unit="cosine", higher_is_better=True, values=(value,), basis=basis)

    one = make_result(ipc=1, metrics=(cosine("b", 0.25),))
    ten = [make_result(ipc=10, seed=seed, metrics=(cosine("a", 0.5), cosine("b", 0.5 + seed))) for seed in range(2)]
    whole = make_result("full_real", ipc=None, metrics=(cosine("b", 1.0),))
    panel = only_panel([one, *ten, whole, make_result("dc", metrics=())])
    assert panel.others.to_dict("split")["data"] == [
        ["a (cosine)", "dm", GAP, "0.500 ± 0.000", ""],
        ["b (cosine)", "dm", "0.250", "1.000 ± 0.707", ""],
        ["b (cosine)", "full_real", "", "", "1.000"],
    ]
    assert list(panel.others.columns) == ["metric", "method", "IPC 1", "IPC 10", "full"]


def test_metrics_of_several_bases_are_told():
    def measured(basis, seed):
        metrics = (
            Metric(name=name, unit="cosine", higher_is_better=True, values=(0.5,), basis=basis) for name in ("a", "b")
        )
        return make_result(seed=seed, metrics=tuple(metrics))

    assert "a, b: measured on several bases (e1, e2), whose values compare only roughly." in notes_of(
        [measured("e2", 0), measured("e1", 1)]
    )
    assert "bases" not in notes_of([measured("e1", 0), measured("e1", 1), make_result("dc")])


def test_a_result_without_accuracy_says_so():
    assert pivot([make_result(metrics=())]).loc["dm", "IPC 10"] == "no accuracy"


def test_no_results_are_an_error():
    with pytest.raises(BadInputError, match="at least one result"):
        make_table([])


# Published numbers


def cifar_result(method: str, ipc: int | None = 10, **fields) -> Result:
    return make_result(method, ipc, dataset="cifar10", network="convnet-d3", protocol="dsa", **fields)


def test_published_numbers_stand_in_columns_of_their_own_with_their_source():
    panel = only_panel([cifar_result("dm"), cifar_result("random_real")], published=True)
    frame = panel.accuracy.set_index("method")
    assert list(frame.columns) == ["IPC 10", "IPC 10 published"]
    assert frame.loc["dm"].tolist() == ["55.0", "48.9 ± 0.6 [2]"]
    assert frame.loc["random_real", "IPC 10 published"] == "31.0 ± 0.5 [1]"
    assert "[2] DM (Zhao, Bilen, WACV 2023), arXiv:2110.04181" in panel.notes
    assert [row["published_value"] for row in panel.rows] == [31.0, 48.9]
    assert "published_value" not in make_table([cifar_result("dm")]).rows[0]


def test_a_number_of_another_protocol_is_marked_with_it():
    results = [cifar_result("herding")]
    assert pivot(results, published=True).loc["herding", "IPC 10 published"] == "31.6 ± 0.7 (dc) [1]"
    assert "published under that protocol, not under dsa" in notes_of(results, published=True)


def test_disagreeing_sources_are_marked_and_listed():
    results = [cifar_result("dm", 50)]
    assert pivot(results, published=True).loc["dm", "IPC 50 published"] == "63.0 ± 0.4‡ [1]"
    assert "sources disagree; shown 63.0 (quoted), also published 57.0 (community" in notes_of(results, published=True)


def test_unverified_numbers_are_marked():
    results = [make_result("dm", 10, dataset="mnist", network="convnet-d3", protocol="dsa")]
    assert pivot(results, published=True).loc["dm", "IPC 10 published"] == "97.5 ± 0.1† [1]"
    assert "† unverified" in notes_of(results, published=True)


def test_nothing_published_is_said():
    results = [make_result()]
    assert list(pivot(results, published=True).columns) == ["IPC 10"]
    assert "No published number is known" in notes_of(results, published=True)


# Formats


def awkward_results() -> list[Result]:
    """Every kind of entry, with text that means something to a markup language."""
    return [
        *(cifar_result("random_real", ipc, seed=seed) for ipc in (1, 10) for seed in range(3)),
        *(cifar_result("dm", 10, seed=seed, machine=GPU, phases=(phase("distill", 3, gpu=MIB),)) for seed in range(3)),
        cifar_result(
            "mtt", 10, status="failed", reason=r"<b>100%</b> of A&B | {x_1} ~ $2^3$ \frac [red]#1[/red] `c` *"
        ),
        cifar_result(
            "herding",
            10,
            metrics=(*accuracy(0.5), Metric(name="m[x_1]", unit="n", higher_is_better=True, values=(1.0,))),
        ),
        cifar_result("full_real", None),
    ]


@pytest.fixture(scope="module")
def table():
    return make_table(awkward_results(), published=True)


@pytest.mark.parametrize("fmt", [name for name in RENDERERS if name != "terminal"])
def test_text_formats_end_in_one_line_break_and_repeat_exactly(table, fmt):
    text = render(table, fmt)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert render(make_table(awkward_results(), published=True), fmt) == text


def test_an_unknown_format_is_an_error(table):
    with pytest.raises(BadInputError, match="did you mean latex"):
        render(table, "latx")


def test_csv_reads_back(table):
    frame = pd.read_csv(io.StringIO(render(table, "csv")))
    assert len(frame) == len(table.rows) == 6
    row = frame[(frame["method"] == "dm") & (frame["ipc"] == "10")].iloc[0]
    assert row["accuracy_mean"] == 55
    assert row["accuracy_std"] == 0
    assert row["published_value"] == 48.9
    assert row["distill_peak_allocated_bytes"] == MIB
    failed = frame[frame["method"] == "mtt"].iloc[0]
    assert failed["status"] == "failed"
    assert pd.isna(failed["accuracy_mean"])
    assert frame[frame["method"] == "full_real"]["ipc"].item() == "full"


def test_json_reads_back_with_null_for_what_is_missing(table):
    content = json.loads(render(table, "json"))
    (panel,) = content["blocks"]
    assert content["accuracy_unit"] == "percent"
    assert panel["title"].startswith("cifar10")
    rows = {(row["method"], row["ipc"]): row for row in panel["rows"]}
    assert rows["dm", 10]["accuracy_mean"] == 55
    assert rows["random_real", 1]["distill_peak_allocated_bytes"] is None
    assert rows["mtt", 10]["accuracy_mean"] is None


def test_json_has_no_bare_nan():
    endless = (Phase(name="distill", reading=Reading(seconds=float("nan"))),)
    text = render(make_table([make_result().model_copy(update={"phases": endless})]), "json")
    assert json.loads(text, parse_constant=pytest.fail)["blocks"]
    assert '"distill_seconds": null' in text


class Reader(HTMLParser):
    """Collects tables of cells, and checks that tags are balanced."""

    VOID = ("meta", "link", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tables, self.scopes, self.captions, self.text = [], [], [], 0, []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))
        self.captions += tag == "caption"
        assert not {"src", "href"} & set(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def test_html_reads_back_and_is_accessible(table):
    reader = Reader()
    reader.feed(render(table, "html"))
    assert not reader.open
    assert reader.captions == len(reader.tables) == 4
    assert set(reader.scopes) == {"col", "row"}
    assert reader.tables[0][0] == list(table.panels[0].accuracy.columns)
    assert reader.tables[0][1:] == table.panels[0].accuracy.to_numpy().tolist()
    assert "<b>100%</b> of A&B" in "".join(reader.text)


def test_markdown_reads_back(table):
    text = render(table, "md")
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    frame = table.panels[0].accuracy
    assert rows[0] == list(frame.columns)
    assert [set(cell) <= {"-", ":"} for cell in rows[1]] == [True] * len(rows[0])
    plain = [[cell.strip("*").removesuffix(" \N{ALMOST EQUAL TO}").removesuffix(" ?") for cell in row] for row in rows]
    assert plain[2 : 2 + len(frame)] == frame.to_numpy().tolist()
    assert r"\<b\>100%" in text


def test_latex_is_balanced_and_escaped(table):
    text = "\n".join(line for line in render(table, "latex").splitlines() if not line.startswith("%"))
    bare = text.replace("\\\\", "")
    assert not re.findall(r"(?<!\\)[%#_~^<>]", bare)
    assert not re.findall(rf"[±{TIMES}†‡≈{GAP}]", text)
    for body in re.findall(r"\\begin{tabular}{@{}([lr]+)@{}}(.*?)\\end{tabular}", text, re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith("\\\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(body[0])}
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", bare):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert not re.findall(r"\\\\\s*\[", text)  # would be read as the argument of the line break


@pytest.mark.parametrize("width", [70, 80, 120])
def test_a_narrow_terminal_folds_and_cuts_nothing_off(table, width):
    def characters(columns: int) -> Counter[str]:
        console = Console(width=columns, record=True, file=io.StringIO())
        console.print(render(table, "terminal"))
        return Counter(re.sub(r"[\s\u2500]", "", console.export_text()))

    assert characters(width) == characters(1000)


def test_terminal_shows_every_entry_and_reads_no_markup(table):
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(render(table, "terminal"))
    text = console.export_text()
    for entry in table.panels[0].accuracy.to_numpy().ravel():
        assert entry in text
    assert "[red]#1[/red]" in text
    assert "m[x_1] (n)" in text
    assert all(note in text for note in table.panels[0].notes if len(note) < 400)


def test_tidy_has_numbers_where_numbers_belong(table):
    tidy = table.tidy
    assert pd.api.types.is_float_dtype(tidy["distill_seconds"]) or pd.api.types.is_integer_dtype(
        tidy["distill_seconds"]
    )
    assert tidy["seeds"].tolist() == [3, 3, 3, 1, 0, 1]
    assert tidy["students"].tolist() == [2, 2, 2, 1, 0, 2]


def test_an_altered_result_is_marked_and_explained_in_every_format():
    results = [make_result(seed=0), make_result(seed=1).standing_as("altered"), make_result("dsa", values=(0.7,))]
    table = make_table([*results, make_result("dc").standing_as("misplaced")])
    (panel,) = table.panels
    shown = panel.accuracy.set_index("method")["IPC 10"]
    assert shown["dm"].endswith(" (1 of 2 altered)")
    assert shown["dc"].endswith(" (altered)")
    assert "altered" not in shown["dsa"]
    notes = "\n".join(panel.notes)
    assert "Altered: the result of dm, IPC 10, seed 1 was changed after it was written, its digest differs;" in notes
    assert "Altered: the result of dc, IPC 10, seed 0 stood in the folder of another cell;" in notes
    assert [row.get("results_altered", 0) for row in panel.rows] == [
        sum(result.is_altered for result in entry.results) for entry in panel.entries
    ]
    for name in RENDERERS:
        console = Console(width=200, file=io.StringIO())
        console.print(render(table, name))
        assert "altered" in console.file.getvalue(), name


def test_a_whole_copy_is_shown_instead_of_an_altered_one():
    altered, whole = make_result(seed=0).standing_as("altered"), make_result(seed=0, started_at="2027-01-01")
    (panel,) = make_table([altered, whole]).panels
    assert [entry.results for entry in panel.entries] == [(whole,)]
    assert "Altered: the result of dm" in "\n".join(panel.notes)


def test_results_from_before_digests_are_counted_once_at_the_foot():
    older = [
        make_result(dataset=name, seed=seed).standing_as("older") for name in ("digits", "mnist") for seed in (0, 1)
    ]
    table = make_table([*older, make_result("dsa")])
    notes = [note for panel in table.panels for note in panel.notes if "digest" in note]
    assert notes == ["4 results were recorded before results carried a digest."]
    assert table.panels[-1].notes[-1] == notes[0]
    plain = make_table([result.standing_as("whole") for result in older] + [make_result("dsa")])
    for before, after in zip(plain.panels, table.panels, strict=True):
        assert before.accuracy.equals(after.accuracy)
        assert before.cost.equals(after.cost)
        assert before.rows == after.rows
    assert plain.panels[-1].notes == table.panels[-1].notes[:-1]
    assert "1 result was recorded" in notes_of([make_result().standing_as("older")])
