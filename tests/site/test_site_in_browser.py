"""Tests of the site in a real headless Chromium, opened from disk with no network, with 5,787 results in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import read_results
from ddbench.site.writing import SHOWN_FIRST, write_site
from tests.report._browser import AXE, NOTE_PAINTING, WAIT_FOR_PAINTING, browser, luminance, opened
from tests.report._results import varied
from tests.site._synthetic import synthetic

pytestmark = pytest.mark.browser
__all__ = ["browser", "opened"]  # fixtures

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))
VISIBLE = "article.ranking:visible"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The index of a site from every recorded result and 5,000 made-up ones."""
    folder = tmp_path_factory.mktemp("large") / "site"
    return write_site([*read_results(RECORDED), *synthetic(5)], folder).index


@pytest.fixture(scope="module")
def method_page(site):
    return site.parent / "methods" / "dm.html"


def status(page):
    return page.get_by_role("status").inner_text()


def test_first_row_is_painted_within_a_second(opened, site):
    page = opened(site, script=NOTE_PAINTING)
    page.evaluate(WAIT_FOR_PAINTING, "first row")
    times = page.evaluate("window.painted.filter(([name]) => name === 'first row').map(([, time]) => time)")
    assert 0 < times[0] < 1000
    usable = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert 0 < usable < 3000
    print(f"first row after {times[0]:.0f} ms, script done after {usable:.0f} ms")  # noqa: T201 - seen with -s


def test_filters_narrow_the_rankings_and_the_address_keeps_them(opened, site):
    page = opened(site)
    assert page.locator(VISIBLE).count() == SHOWN_FIRST
    page.locator("select[name=dataset]").select_option("cifar10")
    page.locator("select[name=ipc]").select_option("10")
    page.locator("select[name=labels]").select_option("soft")
    shown = page.locator(VISIBLE)
    assert shown.count() >= 2
    assert {part.get_attribute("data-labels") for part in shown.all()} == {"soft"}
    assert page.url.endswith("#?dataset=cifar10&ipc=10&labels=soft")
    address, text = page.url, status(page)
    again = opened(site)
    again.goto(address)
    again.reload()
    assert status(again) == text
    assert again.locator("select[name=dataset]").input_value() == "cifar10"
    page.get_by_role("button", name="Clear").click()
    assert page.locator(VISIBLE).count() == SHOWN_FIRST
    assert page.url.endswith("#")


def test_method_and_search_hide_rows_of_others(opened, site):
    page = opened(site)
    page.locator("select[name=method]").select_option("mtt")
    rows = page.locator(f"{VISIBLE} tbody tr:visible")
    assert {row.get_attribute("data-method") for row in rows.all()} == {"mtt"}
    page.locator("select[name=method]").select_option("")
    page.get_by_role("searchbox").fill("svhn dm resnet18")
    rows = page.locator(f"{VISIBLE} tbody tr:visible")
    assert {row.get_attribute("data-method") for row in rows.all()} == {"dm"}
    assert page.locator(VISIBLE).count() == 5
    page.get_by_role("searchbox").fill("no such thing")
    assert page.get_by_text("No ranking fits").is_visible()
    page.get_by_role("searchbox").fill("")
    assert page.locator("article.ranking tbody tr[hidden]").count() == 0


def test_more_rankings_come_when_asked_for_and_take_the_focus(opened, site):
    page = opened(site)
    more = page.get_by_role("button", name="Show more rankings")
    more.focus()
    page.keyboard.press("Enter")
    assert page.locator(VISIBLE).count() == 2 * SHOWN_FIRST
    focused = page.evaluate("document.activeElement.closest('article').id")
    assert focused == page.locator(VISIBLE).nth(SHOWN_FIRST).get_attribute("id")


def test_everything_is_reached_by_the_keyboard_alone(opened, site):
    page = opened(site)
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen[0] == "A"  # skips to the rankings
    assert {"theme", "dataset", "ipc", "protocol", "labels", "network", "method", "q", "clear"} <= set(seen)
    page.locator("select[name=dataset]").focus()
    page.keyboard.type("svhn")
    assert "data" in page.url
    assert page.locator(VISIBLE).first.get_attribute("data-dataset") == "svhn"


def test_columns_are_sorted_by_what_they_mean(opened, site):
    page = opened(site)
    page.goto(site.as_uri() + "#?dataset=svhn&ipc=10&labels=hard&network=convnet-d3")
    page.reload()
    table = page.locator(f"{VISIBLE} table")
    table.get_by_role("button", name="method").click()
    names = [name.inner_text().split()[0] for name in table.locator("tbody th").all()]
    assert names == sorted(names)
    table.get_by_role("button", name="#").click()
    table.get_by_role("button", name="#").click()
    assert table.locator("tbody td.place").first.inner_text() == "1"


def test_a_method_leads_to_its_page_and_back_to_its_ranking(opened, site):
    page = opened(site)
    page.goto(site.as_uri() + "#?dataset=svhn&ipc=50&method=dm&network=resnet18")
    page.reload()
    page.locator(f"{VISIBLE} tbody th a:visible").click()
    assert page.url.endswith("methods/dm.html")
    assert page.get_by_role("heading", level=1).inner_text() == "dm"
    link = page.get_by_role("link", name="IPC 100").last
    ranking = link.get_attribute("href").partition("#")[2]
    link.click()
    page.wait_for_load_state()
    page.locator(f"#{ranking}").wait_for(state="visible")
    assert page.locator(VISIBLE).count() == 1
    assert "ipc=100" in page.url


def test_theme_follows_the_system_until_the_button_is_pressed_and_stays_on_other_pages(opened, site, method_page):
    assert luminance(opened(site, color_scheme="light")) > 200
    page = opened(site, color_scheme="dark")
    assert luminance(page) < 60
    page.get_by_role("button", name="Light theme").click()
    assert luminance(page) > 200
    page.goto(method_page.as_uri())
    assert luminance(page) > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["index", "method"])
def test_pages_fit_phones_and_screens(opened, site, method_page, tmp_path, which, width, scheme):
    page = opened(site if which == "index" else method_page, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folder = Path(os.environ.get("DDBENCH_SCREENSHOTS", tmp_path))
    picture = folder / f"site_{which}_{width}_{scheme}.png"
    page.screenshot(path=picture)
    with Image.open(picture) as shot:
        assert len(shot.convert("RGB").getcolors(2**20)) > 20  # something was painted


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["index", "method"])
def test_axe_finds_nothing(opened, site, method_page, which, scheme):
    if not os.environ.get(AXE):
        pytest.skip(f"axe is not at hand: set {AXE} to axe.min.js of the package axe-core")
    page = opened(site if which == "index" else method_page, color_scheme=scheme)
    page.evaluate(Path(os.environ[AXE]).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((run) => run.violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200)]))")
    assert found == []


def test_names_from_results_run_no_script(opened, tmp_path):
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    results = [varied(evil, ipc, seed, dataset=evil) for ipc in (1, 10) for seed in (0, 1)]
    index = write_site([*results, varied(status="failed", reason=evil)], tmp_path / "site").index
    for path in index.parent.rglob("*.html"):
        page = opened(path)
        assert page.title() != "owned"
        assert page.evaluate("document.querySelectorAll('script').length") == 1
    page = opened(index)
    page.goto(index.as_uri() + "#?dataset=%3Cscript%3Edocument.title%3D'owned'%3C/script%3E&q=%3Cimg%20src%3Dx%3E")
    page.reload()
    assert page.title() != "owned"
