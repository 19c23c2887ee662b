"""Progress of work that is called from Python, and keywords that belong elsewhere."""

from __future__ import annotations

import sys
import types
import warnings

import pytest
import torch

from ddbench import distill, evaluate, run_suite
from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError
from ddbench.host import clock
from ddbench.method import untracked
from ddbench.runs.progress import in_notebook, telling_length, tracker_of, with_bar
from tests.runs.test_suite_runner import write_suite

SET = DistilledDataset(torch.zeros(10, 1, 8, 8), torch.arange(10), 10, 1)
pytestmark = pytest.mark.usefixtures("own_cache")


class Clock:
    """A clock that moves by so many seconds whenever it is read."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def perf_counter(self):
        self.now += self.seconds
        return self.now


@pytest.fixture
def notebook(monkeypatch):
    """A process in which IPython's shell is that of a notebook."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def told(monkeypatch, seconds, steps):
    monkeypatch.setattr(clock, "time", Clock(seconds))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(telling_length(range(steps), "matching", "; other settings: the presets a, b")) == list(
            range(steps)
        )
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("seconds", "steps", "words"),
    [(2.0, 1000, "20 minutes"), (2.0, 20_000, "6.7 hours"), (2.0, 100, None), (0.01, 1000, None)],
)
def test_a_loop_of_over_five_minutes_is_told_once_with_what_is_shorter(monkeypatch, seconds, steps, words):
    found = told(monkeypatch, seconds, steps)
    if words is None:
        assert found == []
    else:
        (line,) = found
        assert line == f"matching: {steps:,} steps will take about {words} here; other settings: the presets a, b"


def test_bars_are_shown_in_a_notebook_and_where_asked_for(notebook):
    assert in_notebook()
    assert tracker_of(untracked, None) is tracker_of(untracked, True) is with_bar
    assert tracker_of(untracked, False) is untracked
    own = lambda iterable, description, state=None: iter(iterable)  # noqa: E731 - a caller's
    assert tracker_of(own, True) is own


def test_elsewhere_there_are_none_unless_asked_for(capsys, digits):
    assert not in_notebook()
    assert tracker_of(untracked, None) not in (with_bar, untracked)
    made = distill("dm", "digits", 1, config={"network": "mlp-w4", "steps": 2}, device="cpu")
    assert capsys.readouterr().err == ""
    evaluate(made, "digits", "quick", "mlp-w4", 1, device="cpu", progress=True)
    assert "training" in capsys.readouterr().err


def test_a_suite_has_a_bar_of_its_cells(tmp_path, capsys):
    suite = write_suite(tmp_path / "s.yaml", networks=["mlp-w4"])
    run_suite(suite, tmp_path / "r", progress=True)
    assert "2/2" in capsys.readouterr().err
    run_suite(suite, tmp_path / "r")
    assert capsys.readouterr().err == ""


def test_progress_changes_no_number(notebook, tmp_path):
    silent, shown = (
        distill("dm", "digits", 1, config={"network": "mlp-w4", "steps": 3}, device="cpu", progress=each)
        for each in (False, True)
    )
    assert silent.images.equal(shown.images)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distill("dm", "digits", 1, steps=3), r"steps is a setting of dm: pass config=\{'steps': 3\}"),
        (lambda: distill("dm", "digits", 1, data_dir="x"), r"data_dir is an option of runs: pass options=RunOptions"),
        (lambda: evaluate(SET, "digits", batch_size=3), r"batch_size is part of the protocol: pass protocol="),
        (lambda: run_suite("digits_quick", "r", ipc=3), r"ipc is part of the suite: pass suite.model_copy\(update="),
        (lambda: run_suite("digits_quick", "r", data_dir="x"), r"data_dir is an option of runs: pass options=RunOptio"),
    ],
)
def test_a_keyword_that_belongs_elsewhere_is_told_where(call, message):
    with pytest.raises(BadInputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_keyword_that_belongs_nowhere_is_pythons_own_error():
    with pytest.raises(TypeError, match=r"distill\(\) got an unexpected keyword argument 'colour'"):
        distill("dm", "digits", 1, colour="blue")
