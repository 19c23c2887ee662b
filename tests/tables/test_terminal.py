"""Tables for a terminal: whatever its width, no number is folded and nothing is left out."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ddbench.runs.results_store import read_results
from ddbench.tables.formats import render
from ddbench.tables.table import make_table
from ddbench.tables.terminal import Grid, Parts
from tests.tables.test_formats import awkward_results

RECORDED = sorted((Path(__file__).parents[2] / "baselines" / "results").glob("*/*.jsonl"))
NUMBERS = st.from_regex(r"[0-9]{1,3}\.[0-9]( ± [0-9]\.[0-9])?", fullmatch=True)


def lines_of(shown, width):
    console = Console(width=width, file=io.StringIO())
    console.print(shown)
    return console.file.getvalue().splitlines()


@st.composite
def frames(draw):
    rows, ipcs = draw(st.integers(1, 4)), draw(st.integers(1, 30))
    methods = draw(st.lists(st.from_regex(r"[a-z_]{1,25}", fullmatch=True), min_size=rows, max_size=rows, unique=True))
    columns = {"method": methods}
    if draw(st.booleans()):
        columns["config"] = [f"learning_rate=0.{n}, steps_of_the_inner_loop={n}" for n in range(rows)]
    for ipc in range(1, ipcs + 1):
        columns[f"IPC {ipc}"] = draw(st.lists(NUMBERS, min_size=rows, max_size=rows))
    return pd.DataFrame(columns)


@given(frames(), st.integers(40, 170))
def test_every_number_stands_whole_on_one_line_under_its_heading(frame, width):
    lines = lines_of(Parts((Grid.of("Test accuracy (%)", frame, {}),)), width)
    assert all(len(line.rstrip()) <= width for line in lines)
    found, headings = {name: [] for name in frame.columns if name.startswith("IPC")}, []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after.startswith("─"):
            headings = [(name, line.index(f" {name} ") + len(name) + 1) for name in found if f" {name} " in f"{line} "]
        else:
            for name, end in headings:
                words = line[:end].rsplit("  ", 1)[-1].strip()
                if words[:1].isdigit():
                    found[name].append(words)
    assert found == {name: frame[name].tolist() for name in found}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("width", [80, 100, 160])
def test_recorded_tables_fit(path, width):
    table = make_table(read_results([path]), published=True, gain=True, mix_protocols=True)
    lines = lines_of(render(table, "terminal"), width)
    assert all(len(line.rstrip()) <= width for line in lines)
    text = "\n".join(lines)
    for panel in table.panels:
        for _, frame in panel.parts:
            for name in frame.columns:
                if name.startswith("IPC "):
                    assert all(str(value) in text for value in frame[name])


def test_a_hundred_ipcs_are_all_there():
    frame = pd.DataFrame({"method": ["dm"], **{f"IPC {ipc}": [f"{ipc}.5 ± 0.1"] for ipc in range(1, 101)}})
    text = "\n".join(lines_of(Parts((Grid.of("Test accuracy (%)", frame, {}),)), 80))
    assert all(f" {ipc}.5 ± 0.1" in text for ipc in range(1, 101))


def test_configurations_that_do_not_fit_have_letters_which_are_explained_once():
    configs = [f"diversity_weight=0.{n}, representativeness_weight=0.0{n}" for n in range(1, 4)]
    wide = pd.DataFrame({"method": ["minimax"] * 3, "config": configs, "IPC 10": ["91.0 ± 1.0"] * 3})
    narrow = wide[["method", "config"]].iloc[::-1].assign(IPC=["10"] * 3)
    parts = Parts((Grid.of("Test accuracy (%)", wide, {}), Grid.of("Cost", narrow, {})))
    text = "\n".join(lines_of(parts, 60))
    for letter, config in zip("abc", configs, strict=True):
        assert text.count(f"{letter}: {config}") == text.count(config) == 1
    assert [line.split()[1] for line in lines_of(parts, 60) if line.startswith("minimax")] == [*"abc", *"cba"]
    assert "\n".join(lines_of(parts, 160)).count(configs[0]) == 2


def test_what_is_published_stays_beside_its_number():
    frame = pd.DataFrame(
        {"method": ["dm"], **{f"IPC {n}{end}": [f"{n}.0"] for n in (1, 10, 50) for end in ("", " published")}}
    )
    for width in (50, 60, 80):
        for line in lines_of(Parts((Grid.of("", frame, {}),)), width):
            words = line.split("  ")
            for ipc in (f"IPC {n}" for n in (1, 10, 50)):
                assert (ipc in [w.strip() for w in words]) == (f"{ipc} published" in [w.strip() for w in words])


@pytest.mark.parametrize("width", [40, 70, 80, 120])
def test_names_that_act_or_are_long_fold_and_lose_nothing(width):
    table = make_table(awkward_results(), published=True)
    text = "".join("".join(lines_of(render(table, "terminal"), width)).split())
    for name in table.panels[0].accuracy["method"]:
        assert all(part in text for part in "".join(str(name).split()).split("_"))
