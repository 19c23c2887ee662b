"""What commands do where one of several results is damaged, altered or misplaced: the others go on, exit code 1."""

from __future__ import annotations

import json
import shutil

import pytest

from ddbench.cli.main import main
from ddbench.runs.results_store import RESULT_FILE, Store, read_results, write_result
from tests.report._results import varied

KEYS = [f"{number:016x}" for number in range(6)]


@pytest.fixture
def results(tmp_path):
    """Dm and random_real on digits, three seeds each."""
    store = Store(tmp_path / "results")
    made = [varied(method, 10, seed) for method in ("dm", "random_real") for seed in range(3)]
    for key, result in zip(KEYS, made, strict=True):
        with store.writing(key) as folder:
            write_result(result.model_copy(update={"key": key}), folder)
    return store.root


def cut(results):
    (results / KEYS[0] / RESULT_FILE).write_text("{")
    return "is not a ddbench result", "left out: "


def alter(results):
    path = results / KEYS[0] / RESULT_FILE
    content = json.loads(path.read_text())
    content["metrics"][0]["values"][0] = 0.99
    path.write_text(json.dumps(content))
    return "was altered after it was written: its digest differs", ""


def misplace(results):
    shutil.copyfile(results / KEYS[1] / RESULT_FILE, results / KEYS[0] / RESULT_FILE)
    return f"is of cell {KEYS[1]}, not of the one whose folder it stands in", ""


COMMANDS = {
    "table": ["table", "RESULTS"],
    "json": ["table", "RESULTS", "--format", "json"],
    "report": ["report", "RESULTS", "-o", "OUT/report.html"],
    "jsonl": ["table", "RESULTS", "--format", "jsonl"],
    "export": ["export", "RESULTS", "-o", "OUT/lines.jsonl"],
    "compare": ["compare", "dm", "random_real", "RESULTS"],
    "record": ["claims", "record", "RESULTS", "-o", "OUT/claims.toml"],
}


def run(arguments, results):
    return main([part.replace("RESULTS", str(results)).replace("OUT", str(results.parent)) for part in arguments])


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("damage", [cut, alter, misplace], ids=lambda damage: damage.__name__)
def test_one_is_named_in_one_line_and_the_others_go_on(arguments, damage, results, capsys):
    assert run(arguments, results) == 0
    capsys.readouterr()
    words, begin = damage(results)
    assert run(arguments, results) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ddbench: {begin}")
    assert words in line
    assert len(line) <= 320


def test_what_is_altered_is_marked_in_the_report_and_not_exported(results, capsys):
    alter(results)
    run(COMMANDS["report"], results)
    page = (results.parent / "report.html").read_text()
    assert "(1 of 3 altered)" in page
    assert "Altered: the result of dm, IPC 10, seed 0 was changed after it was written" in page
    run(COMMANDS["export"], results)
    exported = read_results([results.parent / "lines.jsonl"])
    assert len(exported) == 5
    assert {result.standing for result in exported} == {"whole"}
    assert all(result.digest for result in exported)


@pytest.mark.parametrize(
    "command", [["table"], ["export"], ["report"], ["compare", "dm", "random_real"], ["claims", "record"]], ids=" ".join
)
@pytest.mark.parametrize("which", ["a result", "lines", "lines in a folder"])
def test_nothing_is_written_over_what_is_read(results, tmp_path, command, which, capsys):
    lines = tmp_path / "lines" / "all.jsonl"
    assert main(["export", str(results), "-o", str(lines)]) == 0
    with lines.open("a") as file:
        file.write("{a damaged line\n")
    out = results / KEYS[0] / RESULT_FILE if which == "a result" else lines
    source = {"a result": results, "lines": lines, "lines in a folder": lines.parent}[which]
    before = out.read_bytes()
    assert main([*command, str(source), "-o", str(out)]) == 2
    assert "is one of the input files and would be overwritten; name another file" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_lines_beside_cells_may_be_written_again(results):
    for _ in range(2):
        assert main(["export", str(results), "-o", str(results / "all.jsonl")]) == 0
