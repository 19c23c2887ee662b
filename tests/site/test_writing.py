"""Tests of the site as files: links lead somewhere, names act nowhere, and nothing is lost or half-written."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest

from ddbench.errors import BadInputError
from ddbench.site.place import MARKER
from ddbench.site.writing import SHOWN_FIRST, write_site
from tests.report._results import varied
from tests.site._page import Page
from tests.site._synthetic import synthetic

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp</title></style>"


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "site"
    left_out = [varied("dm", 1, 9, (0.99,)).standing_as("altered"), varied("dc", 1, status="failed", reason="why not")]
    write_site([*synthetic(2)[::37], *left_out], folder, unread=["results.jsonl, line 3, is not JSON"])
    return folder


def test_an_index_and_a_page_for_each_method(site):
    names = files_of(site)
    assert {"index.html", MARKER, "methods/dm.html", "methods/random_real.html"} <= names
    assert set(json.loads((site / MARKER).read_text())["files"]) == names


def test_every_link_leads_to_a_file_and_a_place_in_it(site):
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    count = 0
    for path, page in pages.items():
        for link in page.all("a"):
            if link["href"].startswith("https://arxiv.org/abs/"):  # the papers of published numbers
                continue
            file, _, anchor = link["href"].partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target in pages, link
            ids = {attributes["id"] for _, attributes in pages[target].elements if "id" in attributes}
            assert not anchor or anchor in ids, link
            count += 1
    assert count > 50


def test_ids_are_unique_and_nothing_is_fetched(site):
    for path in site.rglob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        assert page.all("link") == []
        assert [script for script in page.all("script") if script] == []
        assert all(image["src"].startswith("data:") for image in page.all("img"))
        policy = page.all("meta")[2]["content"]
        assert policy.startswith("default-src 'none'")
        assert "script-src 'sha256-" in policy


def test_first_rankings_are_shown_without_a_script_and_later_ones_wait(site):
    articles = [attributes for attributes in Page((site / "index.html").read_text()).all("article")]
    assert [("hidden" in article) for article in articles] == [at >= SHOWN_FIRST for at in range(len(articles))]
    assert len(articles) > SHOWN_FIRST


def test_what_is_left_out_is_listed_and_ranked_nowhere(site):
    page = Page((site / "index.html").read_text(encoding="utf-8"))
    for words in (
        "changed after it was written",
        "failed: why not",
        "results.jsonl, line 3, is not JSON: could not be",
    ):
        assert words in page.text
    assert "99.0" not in page.text


@pytest.mark.parametrize("field", ["method", "dataset", "network", "protocol", "command", "git_commit"])
def test_names_from_results_act_nowhere(tmp_path, field):
    results = [varied(ipc=ipc, seed=seed, **{field: EVIL}, key=f"{ipc}{seed}") for ipc in (1, 10) for seed in (0, 1)]
    failed = varied(ipc=50, status="failed", reason=EVIL)
    write_site([*results, failed], tmp_path / "site", unread=[EVIL])
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert "\u202e" not in text
        assert "<script>alert" not in text
        assert len(page.all("script")) == 1
        assert [image for image in page.all("img") if "onerror" in image] == []
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


@pytest.mark.parametrize("setting", ["config", "machine", "versions"])
def test_settings_and_machines_act_nowhere(tmp_path, setting):
    results = [varied(seed=0, key="a", **{setting: {"id": "a", EVIL: EVIL, "gpu": EVIL}}), varied(seed=1, key="b")]
    write_site(results, tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        assert len(page.all("script")) == 1
        assert page.all("img") == []


def test_a_site_is_replaced_whole_and_a_stranger_is_left_alone(tmp_path):
    write_site([varied("dm", 1), varied("dc", 1)], tmp_path / "site")
    write_site([varied("dm", 1)], tmp_path / "site")
    assert files_of(tmp_path / "site") == {"index.html", MARKER, "methods/dm.html"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(BadInputError, match="not a ddbench site"):
        write_site([varied("dm", 1)], tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"site", "mine"}


def test_the_same_results_give_the_same_files(tmp_path):
    results = synthetic(1)[::100]
    first, again = (write_site(results, tmp_path / name).index.parent for name in ("a", "b"))
    assert files_of(first) == files_of(again)
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in files_of(first))


def test_results_without_a_number_give_a_site_that_says_so(tmp_path):
    write_site([varied(status="failed", reason="why not", values=())], tmp_path / "site")
    assert "there is nothing to rank" in (tmp_path / "site" / "index.html").read_text()


def test_script_is_the_one_whose_hash_the_policy_names(site):
    import base64
    import hashlib

    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"sha256-{digest}" in text.replace("&#43;", "+")
