"""Tests of suites found by name, and of listing them without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ddbench.errors import BadInputError, UnknownNameError
from ddbench.runs.suite import load_suite
from ddbench.runs.suite_files import find_suite, suite_names
from tests.runs.test_suite import TEXT


def test_suite_is_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_suite("digits_quick")
    assert shipped.name == "digits_quick.yaml"
    assert load_suite(shipped).name
    (tmp_path / "digits_quick").write_text(TEXT)
    assert find_suite("digits_quick") == Path("digits_quick")
    with pytest.raises(
        UnknownNameError,
        match="no suite file 'digits_quik' and ddbench ships none of that name; did you mean digits_quick",
    ):
        find_suite("digits_quik")
    with pytest.raises(BadInputError, match=r"suite digits_quik\.yaml does not exist; did you mean digits_quick"):
        find_suite("digits_quik.yaml")
    with pytest.raises(BadInputError, match="does not exist; check the path, or take one of `ddbench list suites`"):
        find_suite("nothing.yaml")


def test_listing_suites_imports_no_torch():
    program = "import sys; from ddbench.runs.suite_files import suite_names as n; print(*n(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*suite_names(), "False"]
