"""`ddbench claims`: exit codes, one line for each claim, one line for every mistake and then nothing judged."""

import json

import pytest

from ddbench.cli.main import main
from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import write_lines
from tests.claims._made import make_results, write_claims

CLAIM = 'kind = "absolute"\nmargin = 1.0\nvalue = 92.0\ncell = { method = "dm", ipc = 10 }'


@pytest.fixture
def results(tmp_path):
    write_lines(make_results([92.0, 92.6, 91.8]), tmp_path / "r.jsonl")
    return str(tmp_path / "r.jsonl")


def test_help_of_both_commands_is_printed(capsys):
    for arguments in (["claims"], ["claims", "--help"], ["claims", "record", "--help"], ["claims", "judge", "-h"]):
        assert main(arguments) == 0
        assert "Usage: ddbench claims" in capsys.readouterr().out


def test_judge_is_what_claims_does_without_a_command(tmp_path, results, capsys):
    claims = str(write_claims(tmp_path, CLAIM))
    assert main(["claims", claims, results]) == 0
    short = capsys.readouterr().out
    assert main(["claims", "judge", claims, results]) == 0
    assert capsys.readouterr().out == short
    assert "supported: c0: test_accuracy 92.13 %, claimed near 92 %" in short
    assert "1 claims: 1 supported" in short


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dm", "dmm", "unknown name 'dmm'"),
        ("margin", "margine", "unknown key 'margine'"),
        ("= 92.0", "= ", "is not TOML"),
        ("margin", 'unit = "fraction"\nmargin', "is in percent, the claim in fraction"),
    ],
)
def test_bad_claims_are_one_line_and_exit_code_two(tmp_path, results, capsys, old, new, message):
    assert main(["claims", str(write_claims(tmp_path, CLAIM.replace(old, new))), results]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert message in line
    assert captured.out == ""


def test_results_that_a_newer_version_wrote_are_refused(tmp_path, results, capsys):
    path = tmp_path / "r.jsonl"
    path.write_text(path.read_text().replace('{"key"', '{"new":1,"key"'))
    assert main(["claims", str(write_claims(tmp_path, CLAIM)), results]) == 2
    captured = capsys.readouterr()
    assert [line for line in captured.err.splitlines() if "which this version does not know" in line]
    assert captured.err.splitlines()[-1].startswith("ddbench: no result in ")
    assert captured.out == ""


def alter(path):
    """Change an accuracy of the second line."""
    first, second, third = path.read_text().splitlines()
    content = json.loads(second)
    content["metrics"][0]["values"][0] += 0.05
    path.write_text("\n".join([first, json.dumps(content), third]))


def test_a_damaged_result_is_named_and_left_out_of_the_verdict(tmp_path, results, capsys):
    path = tmp_path / "r.jsonl"
    path.write_text(path.read_text()[:-9])
    assert main(["claims", str(write_claims(tmp_path, CLAIM)), results]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert "r.jsonl, line 3 is not a ddbench result" in line
    assert "there are 2" in captured.out


def test_an_altered_result_counts_in_no_claim(tmp_path, results, capsys):
    path = tmp_path / "r.jsonl"
    alter(path)
    assert main(["claims", str(write_claims(tmp_path, CLAIM)), results]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert "r.jsonl, line 2 was altered after it was written: its digest differs" in line
    assert "there are 2" in captured.out
    path.write_text(path.read_text().splitlines()[1] + "\n")
    assert main(["claims", str(write_claims(tmp_path, CLAIM)), results]) == 1
    assert "not measured: c0: dm on digits, ipc 10, convnet-d2-w32: its results were altered" in capsys.readouterr().out


def test_altered_results_are_not_recorded_as_claims(tmp_path, results, capsys):
    path = tmp_path / "r.jsonl"
    alter(path)
    assert main(["claims", "record", results, "-o", str(tmp_path / "c.toml")]) == 2
    assert "fewer than 3 runs" in capsys.readouterr().err


def test_papers_claims_are_judged_from_what_is_recorded(capsys):
    """The seed paper's file: what was not run says so; at a small scale our own runs leave two claims open."""
    claims = baselines_dir() / "claims" / "minimax_paper.toml"
    assert main(["claims", str(claims), str(baselines_dir() / "results")]) == 3
    short = capsys.readouterr().out.splitlines()
    assert short[0] == "31 claims: 2 inconclusive, 29 not measured"
    assert short[-1] == "not measured: 29 claims; add --all to list them"
    assert len(short) == 4
    assert main(["claims", "minimax_paper", str(baselines_dir() / "results"), "--all"]) == 3
    lines = [line.split(": ")[:2] for line in capsys.readouterr().out.splitlines() if line.count(": ") >= 2]
    words = {name: verdict for verdict, name in lines}
    assert words["beats-random-on-digits"] == "inconclusive"
    assert words["beats-dit-on-digits"] == "inconclusive"
    assert {words[name] for name in ("one-hour", "a-twentieth-of-dm", "accuracy-resnet_ap10-ipc10")} == {"not measured"}
    assert len(words) == 31
