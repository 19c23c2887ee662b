"""Tests of the report's page as a file; what a browser makes of it is in `test_report_in_browser`."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ddbench.claims import Verdict
from ddbench.cli.main import main
from ddbench.errors import BadInputError
from ddbench.host.files import baselines_dir
from ddbench.report.page import write_report
from ddbench.runs.results_store import write_lines
from tests.report._results import varied

VOID = {"meta", "input", "img", "br", "link"}


class Page(HTMLParser):
    """Elements with attributes and text, and the checks that every page must pass."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.append((self.open[-1][0], data.strip()))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self, tag: str) -> str:
        return "\n".join(text for name, text in self.texts if name == tag)


def results():
    seeds = [
        varied(method, ipc, seed, (value + 0.01 * seed,))
        for method, value in (("random_real", 0.5), ("dm", 0.8))
        for ipc in (1, 10)
        for seed in (0, 1, 2)
    ]
    others = [
        varied("dm", 10, 0, (0.6,), network="mlp"),
        varied("herding", 1, 0, (), status="failed", reason="no luck"),
    ]
    return seeds + others


@pytest.fixture
def page(tmp_path):
    def make(found, **options):
        return Page(write_report(found, tmp_path / "report.html", **options).read_text(encoding="utf-8"))

    return make


def test_a_page_is_whole_and_refers_to_nothing_outside(page):
    made = page(results())
    ids = [attributes["id"] for _, attributes in made.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in made.elements:
        for name in ("href", "src"):
            assert attributes.get(name, "#").startswith(("#", "data:", "https://arxiv.org/abs/"))
        for target in (attributes.get("href") or "", *(f"#{i}" for i in attributes.get("aria-labelledby", "").split())):
            assert not target.startswith("#") or target[1:] in ids
    assert "default-src 'none'" in next(m["content"] for m in made.all("meta") if "Security" in m.get("http-equiv", ""))


def test_tables_have_captions_and_header_entries_with_scope(page):
    made = page(results())
    assert len(made.all("table")) == len(made.all("caption")) > 3
    assert all(attributes.get("scope") in ("col", "row") for attributes in made.all("th"))
    assert all(attributes.get("aria-label") for attributes in made.all("div") if attributes.get("role") == "region")
    assert all("alt" in attributes for attributes in made.all("img"))


def test_numbers_marks_and_what_went_wrong_are_there(page):
    made = page(results())
    assert "81.0 ± 1.0" in made.words("a")
    assert "failed" in made.words("a")
    assert "no luck" in made.words("li")
    assert any("best" in attributes.get("class", "") for attributes in made.all("td"))
    assert any("below the highest mean" in attributes.get("title", "") for attributes in made.all("a"))
    assert "ddbench distill dm --dataset digits" in made.words("pre")
    assert any("commit" in text for tag, text in made.texts if tag == "dt")


def test_names_are_text_and_never_markup(page, tmp_path):
    evil = '<script>alert("x")</script>&amp;'
    found = [varied(evil, ipc, 0, dataset=evil, config={"key": evil}) for ipc in (1, 10)]
    made = page([*found, varied("dm", 1, 0, dataset=evil)])
    assert len(made.all("script")) == 1
    assert evil in made.words("summary")


def test_claims_are_shown_with_their_verdicts(page):
    claims = [
        Verdict(
            "a", "dm beats random_real", "supported", "as claimed", 3.25, 1.5, 5.0, "points", (3, 3), 0.01, "Welch t"
        ),
        Verdict("b", "mtt reaches 70 %", "not measured", "there is no result of mtt"),
    ]
    made = page(results(), verdicts=claims)
    entries = made.words("td").splitlines()
    for text in ("3.25 points", "1.5 to 5", "3 and 3", "Welch t", "as claimed", "there is no result of mtt"):
        assert text in entries
    assert entries.index("as claimed") < entries.index("there is no result of mtt")
    assert "Not measured: 1 claim" in made.words("summary")
    assert "Claims: 1 supported, 1 not measured." in made.words("p")


def test_published_numbers_lead_to_their_source(page):
    found = [varied("dm", 10, 0, dataset="cifar10", protocol="dsa", network="convnet-d3")]
    made = page(found)
    assert re.search(r"48\.9 ± 0\.6 \[(\d)\]", made.words("a"))
    assert any("-source-" in (attributes.get("href") or "") for attributes in made.all("a"))


def test_arxiv_identifiers_lead_to_their_papers_and_text_stays_text(page):
    found = [varied("dm", 10, 0, dataset="cifar10", protocol="dsa", network="convnet-d3")]
    claims = [Verdict("a", "as <b>arXiv:2110.04181</b> says", "not measured", "see arXiv 2311.15529")]
    made = page(found, verdicts=claims)
    links = {attributes.get("href") for attributes in made.all("a")}
    assert {"https://arxiv.org/abs/2110.04181", "https://arxiv.org/abs/2311.15529"} <= links
    assert made.all("b") == []


def test_mean_ranks_stand_in_a_report_of_five_data_sets(page):
    found = [
        varied(method, 10, 0, (value + 0.01 * n,), dataset=f"d{n}")
        for method, value in (("dm", 0.8), ("dc", 0.7), ("random_real", 0.5))
        for n in range(5)
    ]
    made = page(found)
    assert "Mean ranks over data sets" in made.words("h2")
    assert "dm  1.00" in made.words("text")
    assert "Mean ranks over data sets" not in page(found[:-1]).words("h2")


def test_losses_of_cells_are_plots(page, tmp_path):
    found = results()
    for result in found:
        (tmp_path / result.key).mkdir()
        (tmp_path / result.key / "result.json").write_text("{}", encoding="utf-8")
        (tmp_path / result.key / "log.txt").write_text("loss[0] = 2.0\nloss[10] = 1.0\n", encoding="utf-8")
    made = page(found, sources=[tmp_path])
    assert "Losses while distilling" in made.words("summary")
    assert "dm: loss by step, distillation seed 0" in made.words("figcaption")


def test_the_same_results_give_the_same_page(tmp_path):
    pages = [write_report(results(), tmp_path / name).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_the_command_writes_page_plots_and_verdicts(tmp_path, capsys):
    source = baselines_dir() / "results" / "epyc_2_cores" / "fashion_mnist_minimax.jsonl"
    claims = tmp_path / "claims.toml"
    claims.write_text(
        """family = "test"
[[claim]]
id = "far"
kind = "absolute"
sentence = "random_real reaches 90 %"
bound = "at_least"
value = 90.0
[claim.cell]
method = "random_real"
dataset = "fashion_mnist"
network = "convnet-d2-w32"
protocol = "quick@f58e2342656b"
ipc = 10
""",
        encoding="utf-8",
    )
    out = tmp_path / "made.html"
    command = ["report", str(source), "-o", str(out), "--claims", str(claims), "--plots", str(tmp_path / "plots")]
    assert main(command) == 0
    assert f"report: {out}" in capsys.readouterr().out
    made = Page(out.read_text(encoding="utf-8"))
    assert "refuted" in made.words("span")
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".pdf", ".svg"}


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys):
    mixed = tmp_path / "mixed.jsonl"
    write_lines([varied(seed=0), varied(seed=1, protocol_hash="0123456789ab")], mixed)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{", encoding="utf-8")
    out = tmp_path / "page.html"
    for source in (mixed, broken, tmp_path / "none"):
        assert main(["report", str(source), "-o", str(out)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == (2 if source == broken else 1)  # what is damaged, and that nothing is left
    assert main(["report", str(mixed), "-o", str(out), "--claims", str(tmp_path / "none.toml")]) == 2
    assert not out.exists()
    assert main(["report", str(mixed), "-o", str(out), "--mix-protocols"]) == 0
    with pytest.raises(BadInputError, match="cannot write"):
        write_report(results(), tmp_path / "no" / "folder.html")
