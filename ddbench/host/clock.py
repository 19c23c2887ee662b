"""The time of day, and how long ago something was; for progress and records, not for measurements."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Stopwatch:
    """Tells how long ago it was made; for progress, not for measurements."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self._started


class Pace:
    """Says when something that should happen every so many seconds is due; the first time after one such span."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._last = time.perf_counter()

    def is_due(self) -> bool:
        """Return whether the span has passed since the last time this was true."""
        now = time.perf_counter()
        if now - self._last < self._every_seconds:
            return False
        self._last = now
        return True


def utc_now() -> str:
    """Return the time now, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seconds_since(timestamp: float) -> float:
    """Return the seconds that have passed since a file's time stamp."""
    return time.time() - timestamp


def seconds_since_utc(moment: str) -> float:
    """Return the seconds that have passed since a moment that `utc_now` gave."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
