"""Folders made ahead are taken back where nothing came of it."""

from __future__ import annotations

import pytest

from ddbench.cli._folders import taken_back_if_empty


def fill(folder, *names, fails):
    """Make a folder and files in it as a command does, then fail or not."""
    with taken_back_if_empty(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("kept")
        if fails:
            (folder / "nothing").read_text()


def test_made_folders_go_where_the_block_fails_and_left_them_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        fill(tmp_path / "a" / "b", fails=True)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_or_hold_something_stay(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing"):
        fill(tmp_path / "a", fails=True)
    with pytest.raises(FileNotFoundError, match="nothing"):
        fill(tmp_path / "b", "x", fails=True)
    fill(tmp_path / "c", fails=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
