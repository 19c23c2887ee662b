"""Tests of the pages of methods: their names as files, and what stands in them."""

import re

import pytest
import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import save_distilled
from ddbench.report.pictures import Infos, find_sets
from ddbench.site.methods import Pages, name_files
from ddbench.site.rankings import panels_of, rankings_of
from tests.report._results import varied


def pages(results, folder=None):
    panels = panels_of(results)
    return Pages(panels, rankings_of(panels), find_sets([folder] if folder else []), Infos(None))


def results():
    return [
        varied(method, ipc, seed, (value + 0.01 * ipc + 0.01 * seed,))
        for method, value in (("random_real", 0.5), ("dm", 0.8))
        for ipc in (1, 10)
        for seed in (0, 1, 2)
    ]


@pytest.mark.parametrize("name", ["../../etc/passwd", "timm/resnet18", "DM", "a b", "\N{SNOWMAN}", "", "x" * 300, "."])
def test_every_name_gives_a_file_of_plain_letters_in_the_folder(name):
    file = name_files([name])[name]
    assert re.fullmatch(r"[a-z0-9_-]{1,80}\.html", file)


def test_names_that_differ_in_case_alone_have_files_of_their_own():
    assert name_files(["dm"]) == {"dm": "dm.html"}
    files = name_files(["dm", "DM", "d m", "d-m"])
    assert files["dm"] == "dm.html"
    assert len({file.casefold() for file in files.values()}) == 4


def test_a_page_says_what_its_method_is_and_where_it_stands():
    page = pages(results()).make("dm")
    assert page.about.startswith("DM")
    assert [(each.ranking.ipc, each.row.place) for each in page.standings] == [(1, 1), (10, 1)]
    assert page.best == 2
    (part,) = page.parts
    assert {entry.method for entry in part.entries} == {"dm"}
    assert [caption for caption, _ in part.frames] == ["Cost of a set and of its evaluation"]
    assert len(part.numbers) == 2
    assert "ddbench distill dm" in part.numbers[0].circumstances.commands[0]


def test_a_curve_needs_two_ipc_and_shows_random_images_beside():
    (part,) = pages(results()).make("dm").parts
    assert "random_real" in part.drawing.svg
    (part,) = pages([result for result in results() if result.ipc == 1]).make("dm").parts
    assert part.drawing is None


def test_pictures_are_those_of_the_sets_that_are_kept(tmp_path):
    found = results()
    kept = next(result for result in found if result.method == "dm")
    images = torch.randint(256, (10, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = DistilledDataset(images, torch.arange(10), 10, 1, "pixels")
    save_distilled(made, tmp_path / kept.key / "distilled")
    made_pages = pages(found, tmp_path)
    assert [picture.entry.method for picture in made_pages.make("dm").gallery.pictures[0]] == ["dm"]
    assert made_pages.make("random_real").gallery.pictures == {}


def test_a_method_of_no_registry_has_a_page_too():
    page = pages([varied("my_own", 1)]).make("my_own")
    assert page.about == ""
    assert len(page.standings) == 1
    assert page.best == 0
