"""Tests of escaping: what hostile names become in each format, and that plain ones stay as they are."""

import csv
import io
import re

import pytest

from ddbench.tables.escaping import csv_cell, latex, markdown, visible
from ddbench.tables.formats import render
from ddbench.tables.html import page_templates
from ddbench.tables.table import make_table
from tests.report._results import varied

HOSTILE = {
    "escape codes": "dm\x1b[31m\x1b]0;title\x07",
    "carriage return": "good\rbad",
    "line break": "a\nb",
    "turned round": "dm\u202egpj.exe",
    "link": "[x](javascript:alert(1))",
    "reference": "[x]: javascript:alert(1)",
    "script": "<script>alert(1)</script>",
    "formula": "=cmd|'/c calc'!A1",
    "latex": r"\\[1em] \input{/etc/passwd} $x$ 5% #1 a_b",
    "cell": "a|b & c",
}


@pytest.mark.parametrize(
    "text", ["random_real", "dm, steps=20", "55.0 ± 0.4 [1]", "5 \N{MULTIPLICATION SIGN} 3 †", "é 東京", "-0.5", "a b"]
)
def test_plain_text_stays(text):
    assert visible(text) == text
    assert markdown(text) == text
    assert csv_cell(text) == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_acts_and_everything_is_one_line(text):
    for escape in (visible, markdown, latex, csv_cell):
        assert escape(text).isprintable()


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n", "\uff1d1", "-1+cmd|' /C calc'!A0", "--1"],
)
def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text):
    assert csv_cell(text).startswith("'")
    assert csv_cell(text)[1:] == visible(text)


@pytest.mark.parametrize("value", [-0.5, -3, None, True, "-0.5", "+1e-3", "1", "-.5", "a=b", "a-b", ""])
def test_numbers_and_other_text_are_no_formulas(value):
    assert csv_cell(value) == value


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("[x](javascript:a)", r"\[x\](javascript:a)"),
        ("[1](javascript:a)", r"\[1\](javascript:a)"),
        ("[1]: javascript:a", r"\[1\]: javascript:a"),
        ("[1][2]", r"\[1\][2]"),
        ("![1]", "![1]"),
        ("_x_ a_b", r"\_x\_ a_b"),
        ("# x", r"\# x"),
        ("- x", r"\- x"),
        ("&lt;script>", r"\&lt;script\>"),
        ("a & b", "a & b"),
    ],
)
def test_markdown(text, escaped):
    assert markdown(text) == escaped


def test_latex_line_breaks_and_their_arguments():
    assert latex(r"\\") == r"\textbackslash{}\textbackslash{}"
    assert latex("[1em]") == "{[}1em]"
    assert latex("-0.4 [-1.2, +3], convnet-d3, 1e-5, 2-3") == "$-$0.4 {[}$-$1.2, +3], convnet-d3, 1e-5, 2-3"
    assert latex("a\nb") == r"a\textbackslash{}nb"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_tables_of_hostile_names(name):
    table = make_table([varied(name)])
    for fmt in ("md", "csv", "latex", "html", "json"):
        text = render(table, fmt)
        assert all(line.isprintable() for line in text.split("\n") if "\t" not in line)
        assert "<script>" not in text or fmt in ("csv", "json", "latex")
        assert not re.search(r"(?<!\\)\[[^\]\\]*\]\(", text) or fmt in ("csv", "json", "html", "latex")
    (row,) = csv.DictReader(io.StringIO(render(table, "csv")))
    assert row["method"] == csv_cell(name)
    grid = [line for line in render(table, "md").splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in grid[:3]}) == 1


def test_html_shows_what_would_act_and_keeps_lines():
    page = page_templates().from_string("<pre>{{ text }}</pre>").render(text="a\x1b\n<b>\u202e")
    assert page == "<pre>a\\x1b\n&lt;b&gt;\\u202e</pre>"
