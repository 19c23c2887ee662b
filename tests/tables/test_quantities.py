"""Seconds, bytes and durations as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.analysis.aggregate import GAP
from ddbench.tables.quantities import bytes_text, duration_text, seconds_text

MIB = 2**20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (5430, "1 h 30 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration_text(seconds) == text


@given(st.floats(10, 1e8))
def test_durations_are_close(seconds):
    units = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    parts = duration_text(seconds).split()
    told = sum(int(count) * units[unit] for count, unit in zip(parts[::2], parts[1::2], strict=True))
    assert abs(told - seconds) <= max(1, seconds / 24)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, GAP), (0.001, "<0.01"), (1.234, "1.23"), (45.67, "45.7"), (12345.6, "12,346")]
)
def test_seconds_have_about_three_digits(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, GAP), (0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (900 * MIB, "900 MiB"), (3 * 2**40, "3.0 TiB")],
)
def test_bytes_have_binary_units(size, text):
    assert bytes_text(size) == text
