"""`ddbench check-results`: a line for each problem, a summary, and exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddbench.cli.main import main
from tests.submissions._valid import changed, valid, write


def check(capsys, *arguments):
    code = main(["check-results", *map(str, arguments)])
    return code, capsys.readouterr()


def test_a_file_that_passes(capsys, tmp_path):
    code, printed = check(capsys, write(tmp_path / "good.jsonl", valid(3)))
    assert code == 0
    assert printed.out.splitlines() == ["checking 1 file", "3 results in 1 file: no problem"]
    assert printed.err == ""


def test_each_problem_is_a_line(capsys, tmp_path):
    first, second = valid(2)
    path = write(tmp_path / "bad.jsonl", [{**first, "git_commit": "x"}, changed(second, students=3)])
    code, printed = check(capsys, path)
    assert code == 1
    lines = printed.err.splitlines()
    assert all(line.startswith(f"ddbench: {path}, line ") for line in lines)
    assert printed.out.splitlines()[-1] == f"2 results in 1 file: {len(lines)} problems"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl"], "does not exist"),
        (["."], "is a folder; write its results into a file"),
        (["empty.jsonl"], "holds no results"),
        (["good.jsonl", "--key", "0123456789abcdef"], "give the folder of its set with --sets"),
        (["good.jsonl", "--sets", "nowhere"], "is not a folder"),
        (["good.jsonl", "--sets", "nothing"], "holds no distilled sets"),
        (["good.jsonl", "--seed", "-1"], "-1"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.jsonl", valid(1))
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "nothing").mkdir()
    code, printed = check(capsys, *arguments)
    assert code == 2
    assert len(printed.err.splitlines()) == 1
    assert words in printed.err


def test_a_set_is_evaluated_again(capsys, tmp_path, own_cache):
    folder, file = tmp_path / "set", tmp_path / "r.jsonl"
    assert (
        main(["distill", "random_real", "--dataset", "digits", "--ipc", "1", "--device", "cpu", "--out", str(folder)])
        == 0
    )
    evaluate = ["evaluate", str(folder), "--protocol", "quick", "--students", "1", "--device", "cpu"]
    assert main([*evaluate, "--results", str(tmp_path / "results")]) == 0
    assert main(["table", str(tmp_path / "results"), "--format", "jsonl", "--out", str(file)]) == 0
    capsys.readouterr()
    code, printed = check(capsys, file, "--sets", folder, "--device", "cpu")
    assert code == 0, printed.err
    assert "evaluating again: random_real on digits, ipc 1, seed 0" in printed.out
    assert "bit-equal" in printed.out


@pytest.mark.parametrize("arguments", [["check-results", "none.jsonl"], ["site", "none.jsonl"]])
def test_a_mistake_is_told_without_importing_torch(tmp_path, arguments):
    program = (
        f"import sys; from ddbench.cli.main import main; code = main({arguments!r}); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "does not exist" in done.stderr
