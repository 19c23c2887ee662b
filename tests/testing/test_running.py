"""Tests of running contracts by name: what `ddbench check` prints, its exit codes, and a machine without pytest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddbench.cli.main import main
from ddbench.method import Method
from ddbench.registry import METHODS


class Crashes(Method):
    """Makes nothing."""

    def distill(self, train, ipc, ctx):
        raise RuntimeError("broken")


def test_every_rule_has_a_line_and_the_last_line_counts(capfd):
    assert main(["check", "dataset", "digits"]) == 0
    out, error = capfd.readouterr()
    *rules, last = out.splitlines()
    assert last == "dataset digits: 8 of 8 rules hold"
    assert len(rules) == 8
    assert all(line.startswith("ok      ") and len(line) <= 80 for line in rules)
    assert error == ""


def test_failed_rules_say_why_in_a_line_and_where_if_asked(monkeypatch, capfd):
    monkeypatch.setitem(METHODS._entries, "candidate", Crashes)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x --no-such-option")
    assert main(["check", "candidate"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert "failed  set has the shape asked for: RuntimeError: broken" in lines
    assert all(line.startswith(("ok      ", "failed  ", "method candidate: ")) for line in lines)
    assert main(["check", "method", "candidate", "-v"]) == 1
    verbose = capfd.readouterr().out
    assert 'raise RuntimeError("broken")' in verbose
    assert "ddbench_check_" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["random_reel"], "unknown method 'random_reel'; did you mean random_real"),
        (["network", "lenett"], "unknown network 'lenett'"),
        (["network", "convnet-q3"], "network convnet has no option 'q3'"),
        (["dataset", "digit"], "unknown dataset 'digit'; did you mean digits"),
        (["evaluator", "acuracy"], "unknown evaluator 'acuracy'; did you mean accuracy?"),
        (["protocol", "quik"], "unknown protocol 'quik'; did you mean quick?"),
        (["netwrk", "lenet"], "there is no contract of 'netwrk'; did you mean network or runner?"),
        (["protocol"], "which protocol? ddbench check protocol NAME, NAME one of ddbench list protocols"),
        (["network", "lenet", "mlp"], "expected [KIND] NAME"),
    ],
)
def test_unknown_names_and_kinds_are_refused_in_one_line(words, message, capsys):
    assert main(["check", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_without_pytest_one_line_says_how_to_get_it():
    code = """
import sys
from importlib.abc import MetaPathFinder

class WithoutPytest(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pytest", "_pytest"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutPytest())
from ddbench.cli.main import main
sys.exit(main(["check", "random_real"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'ddbench: ddbench check needs pytest: pip install "ddbench[testing]"\n'
