"""Tests of plots: what is drawn, that they stand in a page without harm, and the files for papers."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from ddbench.analysis.significance import mean_against
from ddbench.report.plot_style import COLOURS, INK, MARKERS, OTHER, number_rows, place_rows
from ddbench.report.plots import inline_svg, plots_of, write_plots
from ddbench.tables.table import make_table
from tests.report._results import only_panel, varied

ODD = "gm$x$<b>&_"  # must be read neither as mathematics nor as markup


def results():
    return [
        varied(method, ipc, seed, (0.5 + 0.1 * seed + 0.01 * ipc,))
        for method in ("dm", ODD)
        for ipc in (1, 10)
        for seed in (0, 1, 2)
    ] + [varied("full_real", None, 0, (0.97,))]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("background", ["#ffffff", "#15171c"])
def test_colours_stand_out_on_both_themes(background):
    for colour in COLOURS:
        low, high = sorted((luminance(colour), luminance(background)))
        assert (high + 0.05) / (low + 0.05) >= 3
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(COLOURS)


def test_the_best_eight_and_random_images_have_places_of_their_own_and_others_stand_back():
    found = [varied(f"m{i:02}", ipc, 0, (0.3 + 0.02 * (i if ipc == 10 else -i),)) for i in range(12) for ipc in (1, 10)]
    panel = only_panel([*found, *(varied("random_real", ipc, 0, (0.1,)) for ipc in (1, 10))])
    places = place_rows(panel, number_rows([panel]))
    shown = {name: place for name, place in places.items() if place != OTHER}
    assert set(shown) == {"random_real", *(f"m{i:02}" for i in range(4, 12))}
    assert sorted(shown.values()) == list(range(9))
    axes = plots_of(panel, number_rows([panel]))[0].figure.axes[0]
    assert {text.get_text() for text in axes.texts} == set(shown)


def test_a_single_ipc_is_a_row_of_dots_and_flat_host_memory_is_no_plot():
    panel = only_panel([varied("dm", 1, 0, (0.4,)), varied("dc", 1, 0, (0.5,)), varied("random_real", 1, 0, (0.3,))])
    made = {plot.name: plot for plot in plots_of(panel, number_rows([panel]))}
    axes = made["accuracy"].figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["random_real", "dm", "dc"]
    assert "memory" not in made


def test_curves_show_means_and_their_intervals():
    panel = only_panel(results())
    curves = plots_of(panel, number_rows([panel]))[0].figure.axes[0]
    bars = curves.containers[0]
    assert list(bars.lines[0].get_ydata()) == pytest.approx([61, 70])
    ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
    expected = mean_against([51, 61, 71], 0, 0)
    assert list(ends[0]) == pytest.approx([expected.low, expected.high])
    assert {tick.get_text() for tick in curves.get_xticklabels()} == {"1", "10"}


def test_a_plot_in_a_page_is_xml_with_ids_of_its_own_and_no_fixed_ink():
    panel = only_panel(results())
    ids = []
    for number, plot in enumerate(plots_of(panel, number_rows([panel]), INK)):
        svg = inline_svg(plot, f"p{number}")
        tree = ElementTree.fromstring(svg)
        texts = [element.text for element in tree.iter() if element.tag == "text"]
        assert ODD in texts
        assert "full_real" in texts
        assert INK not in svg
        assert "currentColor" in svg
        ids += re.findall(r' id="([^"]+)"', svg)
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) <= set(ids)
        assert not re.search(r'(?:href|src)="(?!#)', svg)
    assert len(ids) == len(set(ids))


def test_files_for_papers_are_pdf_and_svg_and_the_same_twice(tmp_path):
    panels = make_table([result.model_copy(update={"phases": ()}) for result in results()]).panels
    paths = write_plots(panels, tmp_path / "a")
    assert [path.suffix for path in paths] == [".pdf", ".svg"]  # no costs, so the curves alone
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"%PDF") if path.suffix == ".pdf" else b"<svg" in content
    again = write_plots(panels, tmp_path / "b")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_one_number_is_no_plot():
    panel = only_panel([varied("dm", 10, 0), varied("full_real", None, 0)])
    assert plots_of(panel, number_rows([panel])) == []


@pytest.mark.parametrize("name", ["dm\x1b[31m", "\u202egpj", "$x^$", "<script>", "a\x00"])
def test_names_in_plots_do_not_act(name):
    panel = only_panel([varied(name, ipc) for ipc in (1, 10)])
    for plot in plots_of(panel, number_rows([panel])):
        drawn = inline_svg(plot, "p")
        assert "<script" not in drawn
        assert all(line.isprintable() for line in drawn.split("\n"))


@pytest.mark.parametrize("ipcs", [(1,), (1, 10)])
def test_an_accuracy_that_cannot_be_is_drawn_and_not_an_error(ipcs):
    found = [varied(name, ipc, seed, (1.3 + seed,)) for name in ("dm", "dc") for ipc in ipcs for seed in (0, 1)]
    panel = only_panel(found)
    assert plots_of(panel, number_rows([panel]))[0].name == "accuracy"


def test_a_method_called_full_real_may_have_an_ipc():
    panel = only_panel([varied(name, ipc, 0) for name in ("full_real", "dm") for ipc in (1, 10)])
    assert plots_of(panel, number_rows([panel]))[0].name == "accuracy"


def test_points_stand_at_their_ipc_and_never_nearer_to_another_one():
    (alone,) = lines_of([varied("dm", ipc, 0) for ipc in (1, 10)])
    assert list(alone.get_xdata()) == [1, 10]
    ipcs = (10, 11, 12, 50)
    for line in lines_of([varied(f"m{i}", ipc, 0) for i in range(5) for ipc in ipcs]):
        nearest = [min(ipcs, key=lambda ipc, x=x: abs(math.log(ipc / x))) for x in line.get_xdata()]
        assert nearest == list(ipcs)


@pytest.mark.parametrize("ipcs", [(10, 11, 12, 50), tuple(range(1, 101)), (1, 10, 50), (500, 1000, 1200)])
def test_numbers_of_images_never_overlap(ipcs):
    panel = only_panel([varied(name, ipc, 0) for name in ("dm", "dc") for ipc in ipcs])
    figure = plots_of(panel, number_rows([panel]))[0].figure
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def lines_of(results):
    panel = only_panel(results)
    axes = plots_of(panel, number_rows([panel]))[0].figure.axes[0]
    return [bars.lines[0] for bars in axes.containers]
