"""Tests of where a site may be written: nothing that it has not written itself is ever lost."""

import pytest

from ddbench.errors import BadInputError
from ddbench.site.place import MARKER, check_site_target, write_marker


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "methods").mkdir(parents=True)
    (folder / "index.html").write_text("")
    (folder / "methods" / "dm.html").write_text("")
    write_marker(folder, ["index.html", "methods/dm.html", MARKER])
    return folder


def test_new_empty_and_earlier_sites_may_be_written(site, tmp_path):
    check_site_target(tmp_path / "new")
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    check_site_target(tmp_path / "empty")
    check_site_target(site)


@pytest.mark.parametrize("name", ["thesis.txt", ".git/config", "methods/mine.html"])
def test_a_site_with_other_files_is_left_alone(site, name):
    (site / name).parent.mkdir(exist_ok=True)
    (site / name).write_text("years of work")
    with pytest.raises(BadInputError, match=f"holds {name}, which ddbench site has not written"):
        check_site_target(site)


def test_a_site_with_a_link_to_a_folder_is_left_alone(site, tmp_path):
    (tmp_path / "mine").mkdir()
    (site / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(BadInputError, match="holds link, which ddbench site has not written"):
        check_site_target(site)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(BadInputError, match="is not a ddbench site"):
        check_site_target(tmp_path / "other")


def test_other_folders_files_and_links_are_refused(site, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(BadInputError, match="is not a ddbench site"):
        check_site_target(tmp_path / "mine")
    with pytest.raises(BadInputError, match="is not a folder"):
        check_site_target(tmp_path / "mine" / "index.html")
    (tmp_path / "link").symlink_to(site)
    with pytest.raises(BadInputError, match="is not a folder"):
        check_site_target(tmp_path / "link")
    with pytest.raises(BadInputError, match="cannot hold a site"):
        check_site_target(tmp_path.parent.parent / "/")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "other", "files": []}', "not json"])
def test_a_marker_of_something_else_is_refused(site, content):
    (site / MARKER).write_text(content)
    with pytest.raises(BadInputError):
        check_site_target(site)
