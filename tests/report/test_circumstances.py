"""Tests of what stands behind a number: nothing recorded is lost, and the command repeats it."""

from __future__ import annotations

import shlex

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ddbench.cli.main import main
from ddbench.records import MachineLoad
from ddbench.report.circumstances import commands_for, describe, setting_text
from ddbench.runs.cell import evaluate
from ddbench.runs.distill import distill
from ddbench.runs.results_store import read_results
from tests.report._results import only_panel, recorded, varied


def described(results):
    (entry,) = only_panel(results).entries
    return describe(entry)


def test_everything_recorded_is_there():
    found = described([recorded()])
    facts = dict(found.facts)
    assert facts["protocol"] == "quick@f58e2342656b"
    assert facts["commit"] == recorded().git_commit
    assert all(f"{name} {version}" in facts["versions"] for name, version in recorded().versions.items())
    assert recorded().machine["id"] in facts["machine"]
    assert "space pixels" in facts["distilled set"]
    row = dict(zip(found.headings, found.seeds[0], strict=True))
    assert row["students (%)"] == "91.55, 90.99"
    assert row["key"] == recorded().key
    assert row["started (UTC)"] == recorded().started_at


def test_seconds_of_a_busy_machine_are_marked():
    load = MachineLoad(seconds=30.0, waited_seconds=20.0)
    quiet = recorded().phase("evaluate")
    busy = quiet.model_copy(update={"reading": quiet.reading.model_copy(update={"load": load})})
    found = described([varied(seed=0, phases=(quiet,)), varied(seed=1, phases=(busy,))])
    shown = [dict(zip(found.headings, row, strict=True))["evaluate (s)"] for row in found.seeds]
    assert shown[1] == f"{shown[0]} (busy)"


def test_seeds_that_differ_are_named():
    facts = dict(described([varied(seed=0), varied(seed=1), varied(seed=2, git_commit="abc")]).facts)
    assert facts["commit"] == f"{recorded().git_commit} (seeds 0, 1); abc (seed 2)"


def test_a_recorded_command_is_shown_as_it_was():
    found = described([varied(seed=0, command="ddbench run x"), varied(seed=1, command="ddbench run x")])
    assert (found.commands, found.recorded) == (("ddbench run x",), True)


def test_commands_cover_every_seed_and_failed_results_say_why():
    results = [varied(seed=seed) for seed in (0, 1, 4)]
    (command,) = commands_for(results)
    assert command.startswith("for seed in 0 1 4; do ddbench distill dm --dataset digits --ipc 10 --seed $seed ")
    failed = varied(seed=0, values=(), status="failed", reason="lost <power>")
    assert "failed: lost <power>" in described([failed]).seeds[0]


def test_the_command_gives_the_same_accuracies(tmp_path, monkeypatch, capsys):
    made = distill("random_real", "digits", 1, 3)
    result = evaluate(made, "digits", "quick", students=1)
    monkeypatch.chdir(tmp_path)
    (line,) = commands_for([result])
    for command in line.split(" && "):
        words = shlex.split(command)
        assert words[0] == "ddbench"
        extra = ["--results", "kept"] if words[1] == "evaluate" else []
        assert main([*words[1:], *extra]) == 0
    (again,) = read_results(["kept"])
    assert again.metric("test_accuracy") == result.metric("test_accuracy")
    assert (again.key, again.distill_seed) == (result.key, 3)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab1-:#, '\"{[$", max_size=8)


@given(SCALARS | st.lists(SCALARS, max_size=3))
def test_settings_come_back_from_the_command_line(value):
    text = setting_text(value)
    assert "\n" not in text
    again = yaml.safe_load(text)
    assert again == value
    assert type(again) is type(value)


def test_a_set_from_elsewhere_has_no_command_that_makes_it():
    (command,) = commands_for([varied("external")])
    assert command.startswith("ddbench evaluate FOLDER")


def test_what_is_told_of_a_backbone_reads_as_the_rest():
    engine = {
        "backbone": {"trained": {"patch_size": 8, "steps": 3}, "precision": 0.5, "held_out_loss": None},
        "test_chunk": 64,
    }
    (fact,) = (text for name, text in described([varied(engine=engine)]).facts if name == "engine")
    assert fact == "backbone (trained (patch_size 8, steps 3), precision 0.5), test_chunk 64"
