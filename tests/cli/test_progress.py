"""Progress of a run whose error stream is no terminal: lines about the loops that run, and how long they take."""

from __future__ import annotations

from ddbench.cli.progress import progress_bars
from ddbench.host.clock import Pace, Stopwatch
from ddbench.runs.running import Loop
from ddbench.tables.quantities import duration_text


def test_loops_inside_each_other_stand_in_one_line(capsys):
    with progress_bars() as bars:
        bars.pace, bars.place = Pace(0), "[1/2] mtt: "
        for _ in bars.track(range(2), "experts"):
            for _ in bars.track(iter("ab"), "epochs"):
                pass
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/2] mtt: experts 0 of 2, epochs 1"
    assert lines[2] == "[1/2] mtt: experts 1 of 2"
    assert len(lines) == 6


def test_a_loop_says_how_long_the_rest_takes_at_its_pace(monkeypatch):
    monkeypatch.setattr(Stopwatch, "seconds", 30.0)
    watch = Stopwatch()
    assert Loop("steps", 1000, watch, done=100).left_seconds == 270
    assert str(Loop("steps", 1000, watch, done=100)) == "steps 100 of 1,000"
    assert Loop("steps", 1000, watch).left_seconds is None
    assert Loop("steps", None, watch, done=3).left_seconds is None


def test_what_an_earlier_run_did_is_left_out_of_the_pace(monkeypatch):
    monkeypatch.setattr(Stopwatch, "seconds", 0.1)
    loop = Loop("steps", 1000, Stopwatch())
    for _ in range(900):
        loop.step()
    monkeypatch.setattr(Stopwatch, "seconds", 300.1)
    for _ in range(10):
        loop.step()
    assert duration_text(loop.left_seconds) == "45 min"


def test_nothing_is_said_of_what_is_quick(capsys):
    with progress_bars() as bars:
        assert list(bars.track(range(3), "steps")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
