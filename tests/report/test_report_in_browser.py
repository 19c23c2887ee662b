"""Tests of the report in a real headless Chromium, used by mouse and by keyboard."""

from __future__ import annotations

import pytest

from ddbench.analysis.aggregate import GAP
from ddbench.report.page import write_report
from tests.report._browser import (
    browser,
    opened,
    small,
)
from tests.report._results import recorded, varied

pytestmark = pytest.mark.browser
__all__ = ["browser", "opened", "small"]  # fixtures


def column(page, index):
    rows = page.locator("#b0 table.accuracy tbody tr")
    return [row.locator(f":nth-child({index})").first.inner_text() for row in rows.all()]


def test_sorting_by_click_and_by_keyboard(opened, small):
    page = opened(small)
    heading = page.locator("#b0 table.accuracy thead th").nth(1)
    before = column(page, 1)
    assert before == ["random_real", "dm", "herding"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, 1) == ["dm", "herding", "random_real"]
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == ["random_real", "herding", "dm"]
    page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") is None
    assert column(page, 1) == before
    first = page.locator("#b0 table.accuracy thead th").nth(0)
    first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == ["dm", "herding", "random_real"]
    assert first.get_attribute("aria-sort") == "ascending"


def test_costs_are_sorted_as_quantities_and_not_as_text(opened, small):
    page = opened(small)
    sizes = page.evaluate(
        """() => {
          const table = document.querySelector("#b0 details table");
          const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "host memory");
          const texts = ["1.5 GiB", "\u2013", "900 MiB", "1,020 KiB", "2.0 MiB", "no GPU"];
          [...table.tBodies[0].rows].forEach((row, i) => { row.cells[heading.cellIndex].textContent = texts[i]; });
          heading.querySelector("button").click();
          return [...table.tBodies[0].rows].map((row) => row.cells[heading.cellIndex].textContent);
        }"""
    )
    assert [size for size in sizes if size[0].isdigit()] == ["1.5 GiB", "900 MiB", "2.0 MiB", "1,020 KiB"]
    assert sizes[-1] == GAP


def test_filters_hide_tables_pictures_and_rows(opened, small):
    page = opened(small)
    visible = page.locator("#tables > .panel:visible")
    assert visible.count() == 3
    page.locator("select[name=network]").select_option("mlp")
    assert visible.count() == 2
    page.locator("select[name=dataset]").select_option("other")
    assert visible.count() == 1
    assert page.locator("#shown").inner_text() == "1 of 3 tables and 3 of 9 rows shown"
    assert page.locator("#pictures .panel:visible").count() == 1
    page.get_by_label("Method contains").fill("herd")
    assert page.locator("#tables .accuracy tbody tr:visible").count() == 1
    page.locator("select[name=network]").select_option("convnet-d2-w32")
    assert page.get_by_text("No table fits").is_visible()


def test_what_is_chosen_stands_in_the_address_and_leaves_no_empty_parts(opened, small):
    page = opened(small)
    page.get_by_label("Method contains").fill("herd")
    page.locator("select[name=dataset]").select_option("other")
    assert page.locator(".contents li:visible").count() == 1
    assert page.url.endswith("#filters?dataset=other&method=herd")
    page.reload()
    assert page.get_by_label("Method contains").input_value() == "herd"
    assert page.locator("#shown").inner_text() == "1 of 3 tables and 1 of 9 rows shown"
    page.get_by_label("Method contains").fill("nobody")
    assert page.locator("main h2:visible").count() == 0
    assert page.locator("#nothing").is_visible()
    assert page.locator("#shown").inner_text() == "0 of 3 tables and 0 of 9 rows shown"
    page.locator("select[name=dataset]").select_option("")
    page.get_by_label("Method contains").fill("")
    assert page.url.endswith("#")


def test_a_filter_hides_the_lines_of_other_methods(opened, small):
    page = opened(small)
    lines = page.locator("#b0 .plot").first.locator("[data-row]")
    every = sum(line.is_visible() for line in lines.all())  # a level line has no height and counts as hidden
    page.get_by_label("Method contains").fill("herd")
    shown = {line.get_attribute("data-row") for line in lines.all() if line.is_visible()}
    assert shown == {"herding"}
    page.get_by_label("Method contains").fill("")
    assert sum(line.is_visible() for line in lines.all()) == every


def copied(page, form):
    """What a page's first table is, as text: the page is not allowed the system's clipboard, so its own one is read."""
    page.evaluate("window.taken = null; document.oncopy = () => { window.taken = document.activeElement.value; }")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    page.locator("#b0").get_by_role("button", name=f"Copy as {form}: Test accuracy").click()
    assert page.locator("#b0 .copy span").first.inner_text() == "3 rows copied"
    return page.evaluate("window.taken").splitlines()


def test_a_table_is_copied_as_csv_latex_and_markdown_as_it_is_sorted(opened, small):
    page = opened(small)
    page.locator("#b0 table.accuracy thead button").first.click()
    csv, latex, markdown = (copied(page, form) for form in ("CSV", "LaTeX", "Markdown"))
    assert [line.split(",")[0] for line in csv] == ["method", "dm", "herding", "random_real"]
    assert (latex[0][:16], latex[-1]) == ("\\begin{tabular}{", "\\end{tabular}")
    assert any(line.startswith("dm & \\textbf{81.0 $\\pm$ 2.0}") for line in latex)
    assert any(line.startswith("random\\_real & ") for line in latex)
    assert markdown[2].startswith("| dm | **81.0 ± 2.0** |")


def test_a_picture_enlarges_and_one_class_stands_side_by_side(opened, small):
    page = opened(small)
    gallery = page.locator("#pictures .panel").first
    before = gallery.locator("img").first.bounding_box()
    gallery.locator(".one-class select").select_option(index=2)
    frame = gallery.locator(".frame").first.bounding_box()
    assert frame["height"] == pytest.approx(before["height"] / 10, abs=2)
    assert frame["width"] == pytest.approx(before["width"], abs=1)
    shown = gallery.locator(".classes li:visible").all_inner_texts()
    assert len(set(shown)) == 1
    gallery.locator(".one-class select").select_option(index=0)
    gallery.locator(".frame").first.focus()
    page.keyboard.press("Enter")
    large = page.get_by_role("dialog").locator("img").bounding_box()
    assert large["width"] > before["width"]
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_a_report_in_parts_leads_from_its_summary_to_each(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("ddbench.report.page.SPLIT_ABOVE", 10)
    found = [varied(method, 10, seed, dataset=d) for method in ("dm", "dc") for seed in (0, 1) for d in ("a", "b", "c")]
    path = write_report(found, tmp_path / "report.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "report-1-a.html",
        "report-2-b.html",
        "report-3-c.html",
        "report.html",
    ]
    page = opened(path)
    assert page.locator("#shown").inner_text() == "3 of 3 tables shown"
    page.locator("select[name=dataset]").select_option("b")
    page.locator(".contents a:visible").click()
    assert page.url.endswith("report-2-b.html#b1")
    assert page.locator("#tables > .panel").count() == 1
    page.get_by_role("link", name="All data sets").click()
    assert page.locator(".contents li:visible").count() == 3


def test_a_number_opens_what_stands_behind_it(opened, small):
    page = opened(small)
    number = page.locator("#b0 .accuracy td a").first
    number.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    commit = recorded().git_commit
    for words in ("ddbench distill random_real", "torch 2.15.0", "AMD EPYC", commit, "quick@f58e2342656b"):
        assert words in text
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert number.evaluate("node => node === document.activeElement")


def test_a_link_into_a_folded_part_unfolds_it(opened, small):
    page = opened(small)
    assert not page.locator("#b1c2").is_visible()
    page.evaluate("location.hash = '#b1c2'")
    page.locator("#b1c2").wait_for(state="visible")


def test_a_picture_is_enlarged_whole_while_one_class_is_shown(opened, small):
    page = opened(small)
    gallery = page.locator("#pictures .panel").first
    gallery.locator(".one-class select").select_option(index=5)
    gallery.locator(".frame").first.click()
    dialog = page.get_by_role("dialog")
    title, large = dialog.locator("h2").bounding_box(), dialog.locator("img").bounding_box()
    assert large["y"] >= title["y"] + title["height"]


def test_a_method_whose_name_holds_spaces_is_found_in_every_part(opened, tmp_path):
    found = [varied(m, 10, s, (v,), dataset=d) for m, v in (("my own", 0.9), ("dm", 0.1)) for s in (0, 1) for d in "ab"]
    page = opened(write_report(found, tmp_path / "report.html"))
    page.get_by_role("searchbox").fill("my own")
    assert page.locator("#summary tbody tr:visible").count() == 2
    assert page.locator(".contents li:visible").count() == 2
    page.get_by_role("searchbox").fill("own dm")
    assert page.locator(".contents li:visible").count() == 0


@pytest.mark.parametrize("name", ["50% #1?.html", "a:b.html", "rép ort.html"])
def test_parts_find_each_other_whatever_the_file_is_called(opened, tmp_path, monkeypatch, name):
    monkeypatch.setattr("ddbench.report.page.SPLIT_ABOVE", 1)
    page = opened(write_report([varied(m, dataset=d) for m in ("dm", "dc") for d in "ab"], tmp_path / name))
    page.locator(".contents a").first.click()
    assert page.locator("#tables > .panel").count() == 1
    page.get_by_role("link", name="All data sets").click()
    assert page.locator(".contents li:visible").count() == 2


def test_an_address_with_any_part_is_no_error(opened, small):
    opened(small).goto(small.as_uri() + "#%")
