"""Tests of files of results: every line has its place in what is said, and lines are compared with each other."""

import json

import pytest

from ddbench.errors import BadInputError
from ddbench.host.files import baselines_dir
from ddbench.submissions.checking import check_files
from tests.submissions._valid import changed, valid, write

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))


def problems(path):
    return [str(problem) for problem in check_files([path]).problems]


def test_every_recorded_baseline_passes():
    checked = check_files(RECORDED)
    assert [str(problem) for problem in checked.problems] == []
    assert len(checked.lines) == sum(len(path.read_text(encoding="utf-8").splitlines()) for path in RECORDED)


def test_a_valid_file_has_no_problem_and_no_note(tmp_path):
    checked = check_files([write(tmp_path / "good.jsonl", valid(5))])
    assert (len(checked.lines), checked.problems, checked.notes) == (5, (), ())


@pytest.mark.parametrize("line", ["not json", "[]", "{}", '{"key": 1}', "\x00", '{"a": 1, "a": 2}'])
def test_a_line_that_is_no_result_is_named_and_the_others_are_read(tmp_path, line):
    path = tmp_path / "bad.jsonl"
    first, second = map(json.dumps, valid(2))
    path.write_text(f"{first}\n\n{line}\n{second}\n", encoding="utf-8")
    (problem,) = problems(path)
    assert problem.startswith(f"{path}, line 3: it is not a ddbench result")
    assert len(check_files([path]).lines) == 2


def test_the_same_cell_twice_is_told(tmp_path):
    first, second = valid(2)
    (problem,) = problems(write(tmp_path / "twice.jsonl", [first, second, first]))
    assert "line 3: it measures the same cell as line 1" in problem


def test_one_measurement_under_two_seeds_is_told(tmp_path):
    first, second = valid(2)
    copied = changed(second, metrics=first["metrics"], phases=first["phases"])
    (problem,) = problems(write(tmp_path / "copied.jsonl", [first, copied]))
    assert "line 2: its times and values are those of line 1 to the last digit" in problem


def test_cells_that_two_files_share_are_a_note(tmp_path):
    paths = [write(tmp_path / name, valid(2)) for name in ("a.jsonl", "b.jsonl")]
    checked = check_files(paths)
    assert checked.problems == ()
    assert [str(note) for note in checked.notes] == [
        f"{paths[1]}: 2 of its cells stand in {paths[0]} too; tables show each once"
    ]


def test_notes_of_the_same_words_are_one(tmp_path):
    others = [changed(content, method="of_a_plug_in") for content in valid(3)]
    notes = [str(note) for note in check_files([write(tmp_path / "plug.jsonl", others)]).notes]
    assert any("(and 2 more lines)" in note for note in notes)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        check_files([tmp_path / "none.jsonl"])
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(BadInputError, match="holds no results"):
        check_files([tmp_path / "empty.jsonl"])
