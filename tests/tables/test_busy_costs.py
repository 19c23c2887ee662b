"""Tests of seconds that were measured on a busy machine: marked, named, and left out unless asked for."""

from __future__ import annotations

import json

import pytest

from ddbench.analysis.aggregate import costs_of
from ddbench.cli.main import main
from ddbench.runs.results_store import write_lines
from ddbench.tables.formats import render
from ddbench.tables.table import make_table
from tests.tables._made import MIB, load, make_result, notes_of, only_panel, phase

QUIET, BUSY = 0.02, 0.5


def measured(lost, seconds, seed=0, *, evaluate=30.0, processor=None, **fields):
    """A result whose distillation lost a share of its time; its evaluation lost none."""
    reading = {"load": load(seconds, lost), "processor_seconds": processor}
    phases = (phase("distill", seconds, **reading), phase("evaluate", evaluate, load=load(evaluate, QUIET)))
    return make_result(seed=seed, phases=phases, **fields)


MIXED = [measured(QUIET, 2.0, 0), measured(QUIET, 4.0, 1), measured(BUSY, 90.0, 2)]
ALL_BUSY = [measured(BUSY, 80.0, 0, method="mtt"), measured(BUSY, 90.0, 1, method="mtt")]


def cost_row(results, method="dm", **options):
    return only_panel(results, **options).cost.set_index("method").loc[method]


def tidy(results, method="dm", **options):
    return next(row for row in only_panel(results, **options).rows if row["method"] == method)


def test_medians_leave_out_what_was_measured_on_a_busy_machine():
    assert costs_of(MIXED)["distill_seconds"] == 3.0
    assert costs_of(MIXED, busy=True)["distill_seconds"] == 4.0
    assert costs_of(MIXED)["evaluate_seconds"] == costs_of(MIXED, busy=True)["evaluate_seconds"] == 30.0
    assert costs_of(ALL_BUSY)["distill_seconds"] is None
    assert costs_of(ALL_BUSY)["making_peak_host_bytes"] == 3 * MIB  # memory does not depend on it


def test_a_sum_over_phases_is_not_that_of_a_part_of_them():
    whole = make_result(phases=(phase("prepare", 50.0), phase("distill", 2.0)))
    part = make_result(phases=(phase("prepare", 50.0, load=load(50, BUSY)), phase("distill", 2.0)))
    assert costs_of([whole])["making_seconds"] == costs_of([part], busy=True)["making_seconds"] == 52.0
    assert costs_of([part])["making_seconds"] is None
    assert costs_of([make_result(phases=(phase("evaluate", 2.0),))])["making_seconds"] is None


def test_a_table_shows_the_quiet_median_and_names_what_it_left_out():
    assert cost_row(MIXED)["distill (s)"] == "3.00"
    assert "Left out of the median, measured on a busy machine: dm, IPC 10 (distill, 1 of 3 results)." in notes_of(
        MIXED
    )
    assert tidy(MIXED)["distill_seconds"] == 3.0
    assert tidy(MIXED)["results_busy"] == 1


def test_seconds_of_a_busy_machine_alone_are_shown_with_a_mark():
    assert cost_row(ALL_BUSY, "mtt")[["distill (s)", "evaluate (s)"]].tolist() == ["85.0 (busy)", "30.0"]
    assert "(busy): nothing else was measured: mtt, IPC 10 (distill)." in notes_of(ALL_BUSY)
    assert "at least 10 % of the time was lost waiting for a processor" in notes_of(ALL_BUSY)
    assert tidy(ALL_BUSY, "mtt")["distill_seconds"] is None


def test_they_count_where_they_are_asked_for():
    assert cost_row(MIXED, busy_costs=True)["distill (s)"] == "4.00 (busy)"
    assert tidy(MIXED, busy_costs=True)["distill_seconds"] == 4.0
    notes = notes_of(MIXED, busy_costs=True)
    assert "(busy): a median that counts them: dm, IPC 10 (distill, 1 of 3 results)." in notes
    assert "Left out of the median" not in notes


def test_nothing_is_said_of_results_without_a_load_or_of_a_quiet_machine():
    for results in ([make_result()], [measured(QUIET, 2.0)]):
        assert "busy" not in notes_of(results)
        assert "results_busy" not in tidy(results)
        assert cost_row(results)["distill (s)"] == "2.00"


@pytest.mark.parametrize(
    ("processor", "said"),
    [((1.1, 2.0, 56.9), True), ((1.1, 2.0, 2.1), False), ((0.1, 0.2, 0.9), False), ((1.1, None, None), False)],
    ids=str,
)
def test_processor_seconds_that_lie_far_apart_are_named_in_one_note(processor, said):
    results = [measured(QUIET, 2.0, seed, processor=value) for seed, value in enumerate(processor)]
    found = [line for line in notes_of(results).splitlines() if line.startswith("Processor seconds")]
    assert len(found) == said
    assert not said or "dm, IPC 10 (distill, 1.10 to 56.9 s)" in found[0]


def test_what_is_left_out_for_another_reason_does_not_count_as_far_apart():
    results = [measured(QUIET, 2.0, 0, processor=2.0), measured(BUSY, 60.0, 1, processor=50.0)]
    assert "Processor seconds" not in notes_of(results)
    assert "Processor seconds" in notes_of(results, busy_costs=True)


def test_a_note_names_few_of_many():
    notes = notes_of([measured(BUSY, 9.0, method=f"m{number:02d}") for number in range(13)])
    assert "m09, IPC 10 (distill); and 3 more." in notes
    assert "m10" not in notes


def test_the_command_counts_them_where_it_is_told_to(tmp_path, capsys):
    write_lines(MIXED, tmp_path / "results.jsonl")
    shown = []
    for option in ([], ["--busy-costs"]):
        assert main(["table", str(tmp_path / "results.jsonl"), "--format", "json", *option]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown == [json.loads(render(make_table(MIXED, busy_costs=counted), "json")) for counted in (False, True)]
    assert shown[0] != shown[1]
