"""Tests of the report in a real headless Chromium: it is used, looked at and listened to, not only parsed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from ddbench.analysis.aggregate import GAP
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import save_distilled
from ddbench.report.page import write_report
from ddbench.runs.results_store import read_results
from tests.report._results import recorded, varied

pytestmark = pytest.mark.browser

HOW = "install Debian's package chromium, or run `uv run playwright install chromium`"
AXE = "DDBENCH_AXE"  # path of axe.min.js, of the package axe-core
LIMIT = 15_000_000  # bytes of a page
# Marks the first row and the pictures before anything is painted, so that the browser notes when it paints each.
NOTE_PAINTING = """
new MutationObserver(() => {
  document.querySelector("tbody th")?.setAttribute("elementtiming", "first row");
  for (const image of document.querySelectorAll(".pictures img")) image.setAttribute("elementtiming", "picture");
}).observe(document, { childList: true, subtree: true });
window.painted = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.painted.push([entry.identifier, entry.renderTime]);
}).observe({ type: "element", buffered: true });
"""
PATIENCE = 120_000  # milliseconds until a wait is a failure: a busy machine reads a page of megabytes slowly
# Not Playwright's own waiting: it evaluates text again and again, which the page's security policy forbids.
WAIT_FOR_PAINTING = """(name) => new Promise((done) => {
  const look = () => (window.painted.some(([found]) => found === name) ? done() : setTimeout(look, 20));
  look();
})"""


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium where it is installed, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason=f"browser: Playwright is not installed; {HOW}")
    with playwright.sync_playwright() as running:
        path = shutil.which("chromium")
        if path is None and not Path(running.chromium.executable_path).exists():
            pytest.skip(f"browser: there is no Chromium; {HOW}")
        # Chromium's sandbox refuses to run as root, which containers do; the page is our own.
        chromium = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """A function that opens a page offline; at the end there must have been no error and no request."""
    contexts, complaints, requests = [], [], []

    def open_page(path, width=1280, height=900, script="", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A page with two data sets, two networks, marks, costs, a matrix and pictures."""
    folder = tmp_path_factory.mktemp("small")
    found = []
    for dataset, network in (("digits", "convnet-d2-w32"), ("digits", "mlp"), ("other", "mlp")):
        for method, value in (("random_real", 0.6), ("dm", 0.8), ("herding", 0.79)):
            for ipc in (1, 10):
                for seed in (0, 1, 2):
                    accuracy = value + 0.01 * ipc + 0.02 * (seed - 1)
                    result = varied(method, ipc, seed, (accuracy,), dataset=dataset, network=network)
                    found.append(result)
                    if seed == 0 and network == "mlp":
                        keep_set(folder / result.key, ipc)
    return write_report(found, folder / "report.html", sources=[folder])


def keep_set(folder, ipc, side=8, classes=10):
    generator = torch.Generator().manual_seed(ipc)
    images = torch.randint(256, (classes * ipc, 3, side, side), dtype=torch.uint8, generator=generator)
    labels = torch.arange(classes).repeat_interleave(ipc)
    save_distilled(DistilledDataset(images, labels, classes, ipc, "pixels"), folder / "distilled")


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


def luminance(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


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


def test_a_picture_is_enlarged_whole_while_one_class_is_shown(opened, small):
    page = opened(small)
    gallery = page.locator("#pictures .panel").first
    gallery.locator(".one-class select").select_option(index=5)
    gallery.locator(".frame").first.click()
    dialog = page.get_by_role("dialog")
    title, large = dialog.locator("h2").bounding_box(), dialog.locator("img").bounding_box()
    assert large["y"] >= title["y"] + title["height"]


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


def test_an_address_with_any_part_is_no_error(opened, small):
    opened(small).goto(small.as_uri() + "#%")
