"""Tests of the Pareto plots' points and front."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.analysis.aggregate import machine_label
from ddbench.records import MachineLoad, Phase, Reading
from ddbench.report.pareto import MIB, Point, memory_points, pareto_front, time_points
from tests.report._results import only_panel, recorded, varied

POINTS = st.lists(st.builds(Point, st.just(1), st.floats(0.1, 1e6), st.floats(0, 100)), max_size=30)
MACHINE = machine_label(recorded().machine)


@given(POINTS)
def test_front_holds_exactly_what_nothing_else_beats(points):
    front = pareto_front(points)
    values = {(p.cost, p.accuracy) for p in points}

    def is_beaten(cost, accuracy):
        return any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in values)

    assert {(p.cost, p.accuracy) for p in front} == {value for value in values if not is_beaten(*value)}
    assert [p.cost for p in front] == sorted(p.cost for p in front)


def phases(distill: float, prepare: float | None = None, *, gpu: int | None = None):
    found = [Phase(name="distill", reading=Reading(seconds=distill, peak_host_bytes=3 * MIB, peak_allocated_bytes=gpu))]
    if prepare is not None:
        found.append(Phase(name="prepare", reading=Reading(seconds=prepare, peak_host_bytes=5 * MIB)))
    return tuple(found)


def test_time_is_prepare_and_distill_and_memory_their_peak():
    panel = only_panel([varied("mtt", 1, 0, (0.5,), phases=phases(2, 30)), varied("full_real", None, 0, (0.9,))])
    assert time_points(panel, MACHINE) == {("mtt", "", ""): [Point(1, 32, 50)]}
    points, label = memory_points(panel, MACHINE)
    assert points == {("mtt", "", ""): [Point(1, 5, 50)]}
    assert "host" in label


def test_machines_stay_apart_and_a_gpu_counts_its_own_memory():
    machine = {"id": "ff", "gpu": "Test GPU", "device": "cuda"}
    results = [
        varied("dm", 1, 0, (0.5,), phases=phases(2)),
        varied("dm", 1, 1, (0.7,), phases=phases(8, gpu=7 * MIB), machine=machine),
    ]
    panel = only_panel(results)
    mean = pytest.approx(60)
    assert time_points(panel, MACHINE)["dm", "", ""] == [Point(1, 2, mean)]
    assert time_points(panel, machine_label(machine))["dm", "", ""] == [Point(1, 8, mean)]
    points, label = memory_points(panel, machine_label(machine))
    assert points["dm", "", ""] == [Point(1, 7, mean)]
    assert "GPU" in label


def test_seconds_of_a_busy_machine_are_no_point_and_memory_is():
    waited = MachineLoad(seconds=30.0, waited_seconds=20.0)
    busy = tuple(
        found.model_copy(update={"reading": found.reading.model_copy(update={"load": waited})})
        if found.name == "prepare"
        else found
        for found in phases(2, 30)
    )
    results = [varied("mtt", 1, 0, (0.5,), phases=busy), varied("dm", 1, 0, (0.4,), phases=phases(2))]
    panel = only_panel(results)
    assert time_points(panel, MACHINE) == {("dm", "", ""): [Point(1, 2, 40)]}
    points, _ = memory_points(panel, MACHINE)
    assert set(points) == {("dm", "", ""), ("mtt", "", "")}
