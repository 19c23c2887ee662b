"""Times of day and paces; the clock is put in a test's place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ddbench.host.clock import Pace, utc_now


class Clock:
    """Stands for the module `time`: it moves when a test says so."""

    def __init__(self):
        self.now = 50.0

    def perf_counter(self):
        return self.now


def due_at(monkeypatch, every_seconds, *times):
    """When a pace that starts at 0 is due, asked at `times`."""
    clock = Clock()
    monkeypatch.setattr("ddbench.host.clock.time", clock)
    pace, found = Pace(every_seconds), []
    for seconds in times:
        clock.now = 50.0 + seconds
        if pace.is_due():
            found.append(seconds)
    return found


def test_pace_is_due_once_in_every_span(monkeypatch):
    assert due_at(monkeypatch, 10, 0, 5, 9.5, 10, 10.5, 19, 20.5, 21) == [10, 20.5]


def test_pace_counts_from_when_it_was_last_due(monkeypatch):
    assert due_at(monkeypatch, 10, 17, 20, 26.5, 27, 28) == [17, 27]


def test_pace_of_no_time_is_always_due(monkeypatch):
    assert due_at(monkeypatch, 0, 0, 0, 1) == [0, 0, 1]


def test_time_now_is_utc_to_the_second():
    found = datetime.fromisoformat(utc_now())
    assert found.utcoffset() == timedelta(0)
    assert found.microsecond == 0
    assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)
