"""Comparison tables: what is shown, and what is said of it."""

from __future__ import annotations

import pytest

from ddbench.analysis.aggregate import GAP, TIMES, machine_label
from ddbench.errors import BadInputError
from ddbench.records import Metric
from ddbench.tables.table import make_table
from tests.tables._made import GPU, MIB, accuracy, cifar_result, make_result, notes_of, only_panel, phase, pivot


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
    assert f"3 distillation seeds {TIMES} 2 students, unless the notes say otherwise" in panel.header
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
    assert "mtt: all seeds share one preparation (share_prepare)" in notes
    assert "the time shown is that run's: mtt (prepare)" in notes


def test_a_foundation_shared_by_all_seeds_is_stated():
    founded = [make_result("minimax", seed=s, foundation="backbone") for s in range(2)]
    assert "minimax: all seeds share one backbone" in notes_of(founded)
    assert "all seeds share" not in notes_of([make_result()])


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
