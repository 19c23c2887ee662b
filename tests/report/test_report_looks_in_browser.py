"""Tests of how the report looks in a real headless Chromium: on phones, screens and paper, in both themes, at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from ddbench.report.page import write_report
from ddbench.runs.results_store import read_results
from tests.report._browser import (
    AXE,
    LIMIT,
    NOTE_PAINTING,
    WAIT_FOR_PAINTING,
    browser,
    keep_set,
    luminance,
    opened,
    small,
)
from tests.report._results import varied

pytestmark = pytest.mark.browser
__all__ = ["browser", "opened", "small"]  # fixtures


def test_theme_follows_the_system_until_the_button_is_pressed(opened, small):
    assert luminance(opened(small, color_scheme="light")) > 200
    page = opened(small, color_scheme="dark")
    assert luminance(page) < 60
    ink = page.locator("svg.plot text").first.evaluate("node => getComputedStyle(node).fill")
    assert ink == page.evaluate("getComputedStyle(document.body).color")
    page.get_by_role("button", name="Light theme").click()
    assert luminance(page) > 200
    assert page.get_by_role("button", name="Dark theme").count() == 1
    page.reload()
    assert luminance(page) > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_phones_and_screens(opened, small, tmp_path, width, scheme):
    page = opened(small, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folder = Path(os.environ.get("DDBENCH_SCREENSHOTS", tmp_path))
    picture = folder / f"report_{width}_{scheme}.png"
    page.screenshot(path=picture)
    with Image.open(picture) as shot:
        assert shot.size == (width, 900)
        assert len(shot.convert("RGB").getcolors(2**20)) > 20  # something was painted
    page.locator(".pictures img").first.scroll_into_view_if_needed()
    assert page.locator(".pictures img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_a_printed_page_has_no_controls_and_is_light(opened, small):
    page = opened(small, color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert luminance(page) > 200
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_as_opened_and_with_every_part_unfolded(opened, small, scheme):
    if not os.environ.get(AXE):
        pytest.skip(f"axe is not at hand: set {AXE} to axe.min.js of the package axe-core")
    page = opened(small, color_scheme=scheme)
    page.evaluate(Path(os.environ[AXE]).read_text(encoding="utf-8"))
    for _ in range(2):
        found = page.evaluate(
            "axe.run().then((run) => run.violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200)]))"
        )
        assert found == []
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


@pytest.mark.slow
def test_two_thousand_results_give_a_page_that_is_usable_at_once(opened, tmp_path):
    results = tmp_path / "results"
    for ipc in range(1, 11):  # noise compresses worst
        keep_set(tmp_path / f"set{ipc}", ipc, side=32)
    for dataset in ("digits", "other"):
        for method in range(20):
            for ipc in range(1, 11):
                for seed in range(5):
                    values = (0.3 + 0.02 * method + 0.01 * ipc + 0.001 * seed,)
                    made = varied(f"method{method}", ipc, seed, values, dataset=dataset)
                    folder = results / made.key
                    folder.mkdir(parents=True)
                    (folder / "result.json").write_text(made.model_dump_json(), encoding="utf-8")
                    if seed == 0:
                        (folder / "distilled").symlink_to(tmp_path / f"set{ipc}" / "distilled")
    found = read_results([results])
    assert len(found) == 2000
    path = write_report(found, tmp_path / "report.html", sources=[results])
    assert 1_000_000 < path.stat().st_size < LIMIT

    page = opened(path, script=NOTE_PAINTING)
    page.evaluate(WAIT_FOR_PAINTING, "first row")
    assert page.evaluate("window.painted.map(([name]) => name)") == ["first row"]
    page.locator("#b0 thead button").nth(1).click()
    assert page.locator("#b0 tbody th").first.inner_text() == "method19"
    assert "more sets are not shown" in page.locator("#pictures").text_content()
    page.locator(".pictures img").first.scroll_into_view_if_needed()
    page.evaluate(WAIT_FOR_PAINTING, "picture")
    times = page.evaluate("window.painted")
    first = next(time for name, time in times if name == "first row")
    assert all(first < time for name, time in times if name == "picture")


def test_headings_never_overlap(opened, small):
    page = opened(small)
    overlapping = """() => [...document.querySelectorAll("thead tr")].flatMap((row) => {
      if (!row.checkVisibility()) return [];
      const boxes = [...row.querySelectorAll("button")].map((button) => button.getBoundingClientRect());
      return boxes.filter((box, index) => index && box.left < boxes[index - 1].right).length ? [row.textContent] : [];
    })"""
    assert page.evaluate(overlapping) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_leaves_room_for_its_numbers(opened, tmp_path, width):
    name = "very_" + 30 * "long"
    found = [varied(method, ipc, seed) for method in (name, "dm") for ipc in (1, 10) for seed in (0, 1)]
    page = opened(write_report(found, tmp_path / "report.html"), width=width)
    row = page.locator("#b0 table.accuracy tbody tr").filter(has_text=name)
    assert row.locator("th").bounding_box()["width"] < width / 2
    assert row.locator("td").first.bounding_box()["x"] < width / 2


def test_names_in_a_diagram_of_ranks_are_large_enough_on_a_phone(opened, tmp_path):
    found = [varied(m, dataset=d) for m in ("dm", "dc", "herding") for d in "abcde"]
    page = opened(write_report(found, tmp_path / "report.html"), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    plot = page.locator("#ranks .plot")
    assert 11 * plot.bounding_box()["width"] / float(plot.get_attribute("viewBox").split()[2]) >= 12


def test_a_summary_fits_on_paper(opened, small):
    page = opened(small, width=700)  # an A4 page with Chromium's margins has 717
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700


def test_a_printed_page_has_the_pictures_that_nobody_scrolled_to(opened, small):
    page = opened(small)
    assert page.pdf(format="A4").count(b"/Subtype /Image") > 0
