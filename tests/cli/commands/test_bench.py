"""`ddbench bench`: what is listed, chosen, run and kept."""

from __future__ import annotations

import json

import pytest

from ddbench.cli.commands import bench
from ddbench.cli.main import main
from ddbench.errors import BadInputError

PASSING = '''"""A quick one.

More of it."""
import os
import pytest

@pytest.mark.speed
def test_it(benchmark):
    benchmark.pedantic(lambda: None, rounds=1)
    print("measured with", os.environ.get("DDBENCH_DATA_DIR"))

def test_not_a_benchmark():
    raise AssertionError
'''
MISSING = '''"""One that misses its bar."""
import pytest

@pytest.mark.speed
def test_it():
    assert 1.0 >= 1.6
'''


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A source checkout of its own with two benchmarks."""
    folder = tmp_path / "checkout" / "tests" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "test_quick.py").write_text(PASSING)
    (folder / "test_slow.py").write_text(MISSING)
    (folder / "_helper.py").write_text("")
    (tmp_path / "checkout" / "pytest.ini").write_text("[pytest]\nmarkers = speed\n")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # in which pytest-benchmark measures nothing
    monkeypatch.setattr(bench, "_checkout", lambda: tmp_path / "checkout")
    return tmp_path / "checkout"


def test_the_checkouts_benchmarks_are_listed_with_a_line_each(capsys):
    assert main(["bench", "--list"]) == 0
    printed = capsys.readouterr().out
    for name in bench.find_benchmarks():
        assert name in printed
    assert "dm_iteration" in bench.find_benchmarks()
    assert all(bench.first_line(path) for path in bench.find_benchmarks().values())


def test_the_chosen_one_is_run_shown_and_kept(checkout, tmp_path, capfd):
    arguments = ["bench", "quick", "--save", str(tmp_path / "kept" / "here"), "--data-dir", str(tmp_path)]
    assert main(arguments) == 0
    assert f"measured with {tmp_path}" in capfd.readouterr().out
    (kept,) = (tmp_path / "kept" / "here").iterdir()
    assert kept.name.startswith("benchmarks-")
    assert [found["name"] for found in json.loads(kept.read_text())["benchmarks"]] == ["test_it"]


def test_a_missed_bar_gives_exit_code_1(checkout, capfd):
    assert main(["bench", "slow"]) == 1
    assert "1.0 >= 1.6" in capfd.readouterr().out


def test_a_package_that_is_not_there_is_one_line_with_what_to_install(checkout, monkeypatch, capsys):
    monkeypatch.setitem(bench.NEEDS, "no-such-package", "no_such_package")
    assert main(["bench", "quick"]) == 2
    assert capsys.readouterr().err == ('ddbench: ddbench bench needs no-such-package: pip install "ddbench[testing]"\n')


def test_an_unknown_name_is_one_line_with_what_there_is(checkout, capsys):
    assert main(["bench", "quik"]) == 2
    error = capsys.readouterr().err
    assert "unknown benchmark 'quik'" in error
    assert "quick" in error
    assert error.count("\n") == 1


def test_an_installed_copy_has_none(checkout, capsys):
    for path in (checkout / "tests" / "benchmarks").iterdir():
        path.unlink()
    with pytest.raises(BadInputError, match="source checkout"):
        bench.find_benchmarks()
    assert main(["bench"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
