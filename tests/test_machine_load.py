"""Tests of the load that a reading is kept with: its arithmetic, and what counts as a busy machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.records import BUSY_SHARE, LEAST_LOST_SECONDS, MachineLoad, Reading

SUMMED = [name for name in MachineLoad.model_fields if name != "before"]
SECONDS = st.floats(0, 1e6)
KNOWN = st.builds(
    MachineLoad,
    **{name: SECONDS for name in SUMMED if name != "switches"},
    before=st.floats(0, 1),
    switches=st.integers(0, 10**9),
)
LOADS = st.builds(
    MachineLoad,
    seconds=SECONDS,
    **{name: st.none() | SECONDS for name in SUMMED if name not in ("seconds", "switches")},
    before=st.none() | st.floats(0, 1),
    switches=st.none() | st.integers(0, 10**9),
)


def numbers(load):
    return [getattr(load, name) for name in SUMMED]


@given(LOADS, LOADS, LOADS)
def test_loads_add_up_in_any_grouping_and_what_went_before_is_the_first_that_is_known(a, b, c):
    one, other = a.plus(b).plus(c), a.plus(b.plus(c))
    assert numbers(one) == [None if value is None else pytest.approx(value) for value in numbers(other)]
    assert one.before == other.before == next((x.before for x in (a, b, c) if x.before is not None), None)


@given(KNOWN, KNOWN)
def test_a_part_that_was_added_can_be_taken_out_again(whole, part):
    again = whole.plus(part).less(part)
    assert numbers(again) == [pytest.approx(value, abs=1e-6) for value in numbers(whole)]
    assert again.before == whole.before


@given(LOADS, LOADS)
def test_no_number_falls_below_zero_and_no_more_is_lost_than_there_was(a, b):
    for load in (a, a.plus(b), a.less(b)):
        assert all(value is None or value >= 0 for value in numbers(load))
        assert 0 <= load.lost_seconds <= load.seconds


@given(LOADS, LOADS)
def test_the_share_of_others_over_two_times_lies_between_the_shares_of_each(a, b):
    shares = [load.others for load in (a, b)]
    if None not in shares:
        assert min(shares) * (1 - 1e-9) - 1e-9 <= a.plus(b).others <= max(shares) * (1 + 1e-9) + 1e-9


@given(LOADS)
def test_a_load_is_read_as_it_was_written(load):
    assert MachineLoad.model_validate_json(load.model_dump_json()) == load


def test_readings_hand_their_loads_on():
    first, later = MachineLoad(seconds=2.0, waited_seconds=1.0), MachineLoad(seconds=3.0, waited_seconds=0.5)
    both = Reading(seconds=2.0, load=first).plus(Reading(seconds=3.0, load=later))
    assert both.load == MachineLoad(seconds=5.0, waited_seconds=1.5)
    assert both.less(Reading(seconds=3.0, load=later)).load == first
    # One from before loads were looked at, or that was lost with a killed run: what is known is kept.
    assert Reading(seconds=9.0).plus(Reading(seconds=3.0, load=later)).load == later
    assert Reading(seconds=3.0, load=later).plus(Reading(seconds=9.0)).load == later
    assert Reading(seconds=3.0, load=later).less(Reading(seconds=1.0)).load == later
    assert Reading(seconds=1.0).less(Reading(seconds=1.0, load=later)).load is None


@pytest.mark.parametrize(
    ("load", "busy"),
    [
        ({"waited_seconds": BUSY_SHARE * 10 - 0.01}, False),
        ({"waited_seconds": BUSY_SHARE * 10}, True),
        ({"throttled_seconds": 0.6, "waited_seconds": 0.6}, True),
        ({"throttled_seconds": 99.0}, True),  # counted on each core: more than the time there was
        ({"stolen_seconds": 1.2, "own_seconds": 10.0, "others_seconds": 0.0}, True),
        ({"stolen_seconds": 1.2, "own_seconds": 10.0, "others_seconds": 10.0}, False),
        # Every core taken, by cells side by side of one thread each: nothing had to wait.
        ({"others_seconds": 70.0, "own_seconds": 10.0, "core_seconds": 80.0, "waited_seconds": 0.2}, False),
        ({"before": 1.0, "switches": 5000}, False),
        ({}, False),
    ],
)
def test_a_machine_is_busy_where_the_work_lost_a_tenth_of_its_time(load, busy):
    found = MachineLoad(seconds=10.0, **load)
    assert found.is_busy == Reading(seconds=10.0, load=found).is_busy == busy


def test_a_moment_of_waiting_makes_no_machine_busy():
    assert not MachineLoad(seconds=0.2, waited_seconds=0.9 * LEAST_LOST_SECONDS).is_busy
    assert MachineLoad(seconds=0.2, waited_seconds=LEAST_LOST_SECONDS).is_busy
    assert not Reading(seconds=10.0).is_busy
