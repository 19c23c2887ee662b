"""Tests of the records of what came out: results through JSON, metrics, readings that add up."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddbench.records import Metric, Phase, Reading, Result

NAN, INFINITY = float("nan"), float("inf")


FLOATS = st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SEEDS = st.integers(0, 2**63 - 1)
COUNTS = st.none() | st.integers(0, 2**50)
READINGS = st.builds(Reading, seconds=FLOATS, peak_allocated_bytes=COUNTS, peak_host_bytes=COUNTS)
RESULTS = st.builds(
    Result,
    key=st.text(),
    ipc=st.none() | st.integers(1, 100),
    students=st.integers(1, 100),
    distill_seed=SEEDS,
    eval_seed=SEEDS,
    config=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    status=st.sampled_from(["ok", "skipped", "failed", "out_of_memory"]),
    reason=st.text(),
    metrics=st.lists(
        st.builds(Metric, values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
    phases=st.lists(st.builds(Phase, reading=READINGS, cached=st.booleans()), max_size=2).map(tuple),
    student_lr=st.none() | FLOATS,
)
RESULT = Result(
    key="0123",
    method="dm",
    dataset="digits",
    ipc=1,
    network="mlp",
    students=2,
    distill_seed=0,
    eval_seed=0,
    config={"steps": 3},
    protocol="quick",
    protocol_hash="abc",
    status="ok",
    metrics=(Metric(name="test_accuracy", unit="fraction", higher_is_better=True, values=(0.25, 0.75)),),
    phases=(Phase(name="distill", reading=Reading(seconds=1.5)),),
)


@settings(max_examples=50, deadline=None)
@given(RESULTS)
def test_result_survives_json(result):
    text = result.model_dump_json()
    again = Result.model_validate(json.loads(text))
    assert again.model_dump_json() == text  # compared as text, because NaN is not equal to itself
    assert "null" not in json.dumps([metric.values for metric in again.metrics])


@pytest.mark.parametrize("number", [NAN, INFINITY, -INFINITY], ids=str)
def test_unfinished_numbers_survive_json(number):
    reading = Reading(seconds=number)
    again = Reading.model_validate(json.loads(reading.model_dump_json()))
    assert str(again.seconds) == str(number)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, 1e308, -1e31], ids=str)
def test_a_metric_holds_numbers_of_which_there_is_a_spread(value):
    content = json.loads(RESULT.model_dump_json())
    content["metrics"][0] |= {"name": "score", "values": [0.5, value]}
    with pytest.raises(ValidationError, match=r"values\.1\s+Input should be (a finite number|less|greater)"):
        Result.model_validate(content)


@pytest.mark.parametrize("path", [(), ("metrics", 0), ("phases", 0), ("phases", 0, "reading")], ids=str)
def test_unknown_field_is_refused_wherever_it_is(path):
    content = json.loads(RESULT.model_dump_json())
    inner = content
    for step in path:
        inner = inner[step]
    inner["surprise"] = 1
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Result.model_validate(content)


def test_result_is_frozen_and_needs_a_known_status():
    with pytest.raises(ValidationError, match="frozen"):
        RESULT.status = "failed"
    with pytest.raises(ValidationError, match="status"):
        Result.model_validate({**RESULT.model_dump(), "status": "great"})


def test_metrics_and_phases_are_found_by_name():
    assert RESULT.metric("test_accuracy").mean == 0.5
    assert RESULT.metric("other") is None
    assert RESULT.phase("distill").reading.seconds == 1.5
    assert RESULT.phase("prepare") is None


def test_readings_add_seconds_and_interruptions_and_keep_the_larger_peaks():
    first = Reading(seconds=2.0, peak_allocated_bytes=5, peak_host_bytes=70, host_source="a", interruptions=1)
    later = Reading(seconds=0.5, peak_reserved_bytes=8, peak_host_bytes=60, host_source="b", interruptions=2)
    expected = {
        "seconds": 2.5,
        "processor_seconds": None,
        "peak_allocated_bytes": 5,
        "peak_reserved_bytes": 8,
        "peak_host_bytes": 70,
        "host_source": "b",
        "interruptions": 3,
        "load": None,
    }
    assert first.plus(later).model_dump() == expected
    assert later.plus(first).model_dump() == {**expected, "host_source": "a"}


def test_readings_without_peaks_add_up_without_peaks():
    found = Reading(seconds=1.0).plus(Reading(seconds=2.0))
    assert found == Reading(seconds=3.0)


def test_processor_time_is_a_sum_where_both_readings_have_it():
    both = Reading(seconds=1.0, processor_seconds=0.5).plus(Reading(seconds=2.0, processor_seconds=1.5))
    assert both.processor_seconds == 2.0
    assert Reading(seconds=1.0).plus(Reading(seconds=2.0, processor_seconds=1.5)).processor_seconds is None


def test_a_reading_from_before_interruptions_were_counted_has_none():
    assert Reading.model_validate({"seconds": 1.0, "host_source": "x"}).interruptions == 0


def test_a_part_is_taken_out_of_a_reading_and_its_peaks_stay():
    whole = Reading(seconds=5.0, processor_seconds=8.0, peak_allocated_bytes=100)
    part = Reading(seconds=2.0, processor_seconds=3.0, peak_allocated_bytes=100)
    assert whole.less(part) == Reading(seconds=3.0, processor_seconds=5.0, peak_allocated_bytes=100)
    assert part.less(whole).seconds == 0.0
    assert whole.less(Reading(seconds=1.0)).processor_seconds is None
