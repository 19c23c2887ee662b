"""What tests in a real headless Chromium share: the browser, a page opened without a network, a small report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import save_distilled
from ddbench.report.page import write_report
from tests.report._results import varied

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


def luminance(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3
