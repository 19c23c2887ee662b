"""Settings of methods that are known without importing them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ddbench.method import all_settings, make_method
from ddbench.method import with_added as of_class
from ddbench.registry import METHODS
from ddbench.runs.known_settings import default_settings, with_added

pytestmark = pytest.mark.usefixtures("own_cache")

# Prints what is known of a method, in a process without torch, and whether torch was imported for it.
PROGRAM = """
import json, sys
from ddbench.runs.known_settings import default_settings, with_added
known = {name: [default_settings(name), with_added(name, {})] for name in sys.argv[1:]}
print(json.dumps([known, "torch" in sys.modules]))
"""


def ask(*methods):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *methods], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_they_are_what_the_classes_say_and_from_the_second_time_on_need_no_torch(own_cache):
    names = [name for name in METHODS.names() if METHODS.is_own(name)]
    expected = json.loads(json.dumps({name: [all_settings(make_method(name)), of_class(name, {})] for name in names}))
    assert ask(*names) == [expected, True]
    assert ask(*names) == [expected, False]
    (kept,) = (own_cache / "settings").iterdir()
    content = json.loads(kept.read_text())
    content["methods"]["dm"]["defaults"]["steps"] = 1
    kept.write_text(json.dumps(content))
    assert ask("dm") == [{"dm": expected["dm"]}, True]


def test_of_a_method_that_is_not_registered_nothing_is_known():
    assert default_settings("nope") is None
    assert with_added("nope", {"a": 1}) == {"a": 1}


def test_what_a_result_says_comes_before_the_default():
    assert with_added("minimax", {"criteria_space": "features"})["criteria_space"] == "features"
