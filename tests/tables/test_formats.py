"""Formats of tables: every one can be read back, and LaTeX itself sets what is in that form."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pytest
from rich.console import Console

from ddbench.analysis.aggregate import GAP, TIMES
from ddbench.errors import BadInputError
from ddbench.host.files import baselines_dir
from ddbench.records import Metric, Phase, Reading, Result
from ddbench.runs.results_store import read_results
from ddbench.tables.formats import RENDERERS, render
from ddbench.tables.table import make_table
from tests.tables._made import GPU, MIB, accuracy, cifar_result, make_result, phase

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))
DOCUMENT = r"""\documentclass{article}
\usepackage[landscape,margin=1cm]{geometry}
\usepackage{booktabs}
\begin{document}
\input{table}
\end{document}
"""


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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="this machine has no pdflatex")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_latex_sets_the_tables_of_recorded_results(path, tmp_path):
    table = make_table(read_results([path]), published=True, gain=True, mix_protocols=True)
    (tmp_path / "table.tex").write_text(render(table, "latex"))
    (tmp_path / "document.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "document.pdf").stat().st_size
