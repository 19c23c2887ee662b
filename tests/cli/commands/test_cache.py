"""Tests of `ddbench cache`: what it shows, and that it removes what was asked for and nothing else."""

from __future__ import annotations

import io
import os

import pytest

from ddbench.cli.main import main
from ddbench.host.cached_work import MANIFEST, WorkKey, cached_work

DAY = 24 * 3600


@pytest.fixture
def filled(own_cache):
    """Three pieces of work, used 100 days, 40 days and no time ago."""
    for name, days in (("oldest", 100), ("older", 40), ("fresh", 0)):
        with cached_work(WorkKey("prepared", name, "digits", 1, {})) as work:
            (work.folder / "file").write_bytes(bytes(2**21))
            work.keep()
        stat = (work.folder / MANIFEST).stat()
        os.utime(work.folder / MANIFEST, (stat.st_atime, stat.st_mtime - days * DAY))
    return own_cache


def names(cache) -> set[str]:
    return {path.name.split("-")[0] for path in (cache / "prepared").iterdir() if path.is_dir()}


def test_without_options_it_shows_kind_name_data_size_and_last_use(filled, capsys):
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()[1:]) <= 80
    rows = [line.split() for line in shown.splitlines()]
    assert ["prepared", "oldest", "digits", "2.0", "MiB", "100", "days", "ago"] in rows
    assert ["prepared", "fresh", "digits", "2.0", "MiB", "0", "min", "ago"] in rows
    assert ["3", "entries", "6.0", "MiB"] in rows
    assert names(filled) == {"oldest", "older", "fresh"}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--unused", "60d"], {"older", "fresh"}),
        (["--unused", "5w"], {"fresh"}),
        (["--unused", "1h"], {"fresh"}),
        (["--all"], set()),
    ],
)
def test_what_was_asked_for_is_removed_and_the_rest_stays(filled, capsys, options, left):
    assert main(["cache", *options, "--yes"]) == 0
    assert names(filled) == left
    assert f"removed {3 - len(left)} " in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 3), ("y\n", 0, 0), ("", 130, 3)])
def test_it_asks_first(filled, capsys, monkeypatch, answer, code, left):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["cache", "--all"]) == code
    assert len(names(filled)) == left
    assert "Remove 3 entries, 6.0 MiB?" in capsys.readouterr().out


@pytest.mark.parametrize("time", ["30", "d", "-3d", "3 d", "1y", "", "9999999d"])
def test_a_time_that_is_none_is_refused_in_one_line(filled, capsys, time):
    assert main(["cache", f"--unused={time}", "--yes"]) == 2
    assert "ddbench: --unused must be a number of hours, days or weeks such as 12h" in capsys.readouterr().err
    assert len(names(filled)) == 3


def test_both_ways_of_removing_at_once_are_refused(filled, capsys):
    assert main(["cache", "--all", "--unused", "1d"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_an_empty_cache_says_so(own_cache, capsys):
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("nothing is kept in ")
    assert main(["cache", "--all"]) == 0
    assert capsys.readouterr().out.startswith("nothing to remove in ")
