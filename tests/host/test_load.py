"""Tests of the machine's load: what counters say, and that a process that waits for a core is seen to wait."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.host import load
from ddbench.host.load import Cores, Counters, Lookout, cores_at_hand, load_between, read_cores, read_counters
from tests._peaks import measure

BUSY_LOOP = [sys.executable, "-S", "-c", "while True: pass"]
STAT = """cpu  400 0 0 400 0 0 0 0 0 0
cpu0 100 10 20 500 70 3 7 90 5 5
cpu1 200 0 0 800 0 0 0 0 0 0
cpu10 9 9 9 9 9 9 9 9 9 9
intr 5
"""
TICK = 100
SECONDS = st.floats(0, 1e6)


@pytest.fixture
def ticks(monkeypatch):
    monkeypatch.setattr(load, "_ticks", lambda: TICK)


def counters(own=0.0, busy=0.0, stolen=0.0, total=0.0, waited=None, **others):
    return Counters(own=own, cores=Cores(busy, stolen, total), waited=waited or {}, **others)


def test_cores_are_those_at_hand_alone(tmp_path, ticks):
    (tmp_path / "stat").write_text(STAT)
    assert astuple(read_cores(tmp_path / "stat", frozenset({0}))) == pytest.approx((1.4, 0.9, 8.0))
    assert astuple(read_cores(tmp_path / "stat", frozenset({0, 1}))) == pytest.approx((3.4, 0.9, 18.0))
    assert read_cores(tmp_path / "stat", frozenset()) is None
    assert read_cores(tmp_path / "nothing", frozenset({0})) is None


def test_others_are_what_the_cores_did_and_this_process_did_not():
    found = load_between(counters(own=5, busy=50, total=200), counters(own=8, busy=60, total=220), 10.0, 0.25)
    assert (found.own_seconds, found.others_seconds, found.core_seconds, found.before) == (3, 7, 20, 0.25)
    assert found.others == pytest.approx(0.35)
    # What a process that has ended took may be told late: never less than nothing.
    assert load_between(counters(own=5), counters(own=8, busy=1), 1.0, None).others_seconds == 0


def test_waiting_is_that_of_the_thread_that_waited_most():
    start = counters(waited={"1": 5.0, "2": 1.0, "3": 9.0})
    end = counters(waited={"1": 5.5, "2": 4.0, "4": 2.0})  # 3 has ended, 4 is new
    assert load_between(start, end, 10.0, None).waited_seconds == 3.0


def test_a_system_without_counters_gives_a_load_without_numbers(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "PROC", tmp_path / "nothing")
    found = load_between(read_counters(), read_counters(), 2.0, None)
    assert (found.others_seconds, found.waited_seconds, found.core_seconds, found.others) == (None, None, None, None)
    assert (found.lost_seconds, found.is_busy) == (0.0, False)
    assert Lookout().look(read_counters()) is None


@pytest.mark.parametrize(
    ("line", "place", "text", "seconds"),
    [
        ("0::/pod/own", "pod/own", "usage_usec 9\nnr_throttled 4\nthrottled_usec 2500000\n", 2.5),
        ("0::/pod/own", "pod", "throttled_usec 2500000\n", 2.5),  # the quota of a group around it
        ("7:cpu,cpuacct:/own", "cpu,cpuacct/own", "nr_periods 5\nthrottled_time 1500000000\n", 1.5),
        ("7:cpuset:/own", "cpuset/own", "throttled_time 1500000000\n", None),
        ("0::/", "", "usage_usec 9\n", None),  # no quota
    ],
)
def test_a_container_that_is_stopped_by_its_quota_says_so(monkeypatch, tmp_path, line, place, text, seconds):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:name=systemd:/init\n{line}\n")
    (tmp_path / "groups" / place).mkdir(parents=True)
    (tmp_path / "groups" / place / "cpu.stat").write_text(text)
    monkeypatch.setattr(load, "PROC", tmp_path / "proc")
    monkeypatch.setattr(load, "GROUPS", tmp_path / "groups")
    assert load.throttled_seconds() == seconds


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=2, max_size=5))
def test_the_lookout_gives_a_share(steps):
    lookout = Lookout()
    busy = total = 0.0
    lookout._last = counters()
    for at_work, idle in steps:
        busy, total = busy + at_work, total + at_work + idle
        found = lookout.look(counters(busy=busy, total=total))
        assert found is None or 0 <= found <= 1 + 1e-9


def test_the_lookout_keeps_its_share_until_a_second_has_passed(monkeypatch):
    monkeypatch.setattr(load, "cores_at_hand", lambda: frozenset({0, 1}))
    lookout = Lookout()
    lookout._last = counters()
    assert lookout.look(counters(busy=0.5, total=1.0)) is None
    assert lookout.look(counters(busy=1.0, total=4.0)) == 0.25
    assert lookout.look(counters(busy=1.5, total=4.5)) == 0.25
    assert lookout.look(counters(busy=4.0, total=8.0)) == 0.75


@pytest.mark.skipif(not cores_at_hand() or load._waited() is None, reason="this system does not count waiting")
def test_a_process_beside_more_busy_ones_than_cores_waits_and_its_machine_is_busy():
    def compute(seconds=0.8):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass

    alone = min((measure(compute).load for _ in range(3)), key=lambda found: found.lost_seconds)
    others = [subprocess.Popen(BUSY_LOOP) for _ in range(2 * len(cores_at_hand()))]
    try:
        beside = [measure(compute) for _ in range(2)]
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert all(found.is_busy for found in beside), beside
    assert min(found.load.lost_seconds for found in beside) > alone.lost_seconds
    assert min(found.load.switches for found in beside) > 0
    # They were started here, so what they took is no work of others.
    assert all(found.load.own_seconds > found.processor_seconds + 0.1 for found in beside), beside


@pytest.mark.skipif(not cores_at_hand(), reason="this system does not count the work of its cores")
def test_what_a_process_started_is_its_own_while_it_runs_and_after():
    before = read_counters()
    with subprocess.Popen(BUSY_LOOP) as child:
        try:
            for _ in range(200):
                time.sleep(0.02)
                running = read_counters()
                if running.own - before.own > 0.3:
                    break
        finally:
            child.kill()
    assert running.own - before.own > 0.3
    assert read_counters().own >= running.own
