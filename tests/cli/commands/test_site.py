"""`ddbench site`: written, replaced, refused; altered results are listed and give exit code 1."""

from __future__ import annotations

import json

from ddbench.cli.main import main
from ddbench.runs.results_store import write_lines
from tests.report._results import varied


def results(path):
    write_lines([varied(method, 1, seed, (0.5,)) for method in ("dm", "dc") for seed in (0, 1)], path)
    return path


def test_site_is_written_and_written_again(capsys, tmp_path):
    file, out = results(tmp_path / "r.jsonl"), tmp_path / "site"
    for _ in range(2):
        assert main(["site", str(file), "-o", str(out)]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed == ["reading results of 1 place", f"4 results: 1 rankings, 2 methods; open {out / 'index.html'}"]
    assert "<h1>dm</h1>" in (out / "methods" / "dm.html").read_text(encoding="utf-8")


def test_another_folder_is_left_alone_in_one_line(capsys, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert main(["site", str(results(tmp_path / "r.jsonl")), "-o", str(tmp_path / "mine")]) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"ddbench: {tmp_path / 'mine'} exists and is not a ddbench site; name a new folder, or remove it"
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_altered_and_unreadable_results_are_listed_and_not_ranked(capsys, tmp_path):
    file = results(tmp_path / "r.jsonl")
    lines = file.read_text(encoding="utf-8").splitlines()
    forged = {**json.loads(lines[0]), "method": "too_good", "metrics": []}
    file.write_text("\n".join([json.dumps(forged), *lines[1:], "{}"]) + "\n", encoding="utf-8")
    assert main(["site", str(file), "-o", str(tmp_path / "site")]) == 1
    printed = capsys.readouterr()
    assert "2 results left out" in printed.out
    assert len(printed.err.splitlines()) == 2
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "too_good on digits" in page
    assert "could not be read" in page
    assert not (tmp_path / "site" / "methods" / "too_good.html").exists()


def test_a_refused_source_leaves_no_folder_behind(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert main(["site", str(tmp_path / "empty"), "-o", str(tmp_path / "a" / "site")]) == 2
    assert "holds no results" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
