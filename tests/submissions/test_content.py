"""Tests of what one result must be by itself: each wrong thing is one problem, said in words."""

import pytest

from ddbench.submissions.content import check_content
from tests.submissions._valid import changed, read, valid, with_metric, write


def findings(tmp_path, content):
    (result,) = read(write(tmp_path / "one.jsonl", [content]))
    return list(check_content(result))


def only_problem(tmp_path, content):
    (finding,) = findings(tmp_path, content)
    assert finding.is_problem
    return finding.words


def test_a_recorded_result_passes(tmp_path):
    assert findings(tmp_path, valid(1)[0]) == []


def test_a_digest_that_does_not_fit_is_told(tmp_path):
    assert "its digest differs" in only_problem(tmp_path, {**valid(1)[0], "git_commit": "other"})


def test_a_missing_digest_is_a_problem_unless_its_version_wrote_none(tmp_path):
    content = valid(1)[0]
    assert "carries no digest" in only_problem(tmp_path, {**content, "digest": ""})
    (finding,) = findings(tmp_path, {**content, "digest": "", "versions": {**content["versions"], "ddbench": "0.1.0"}})
    assert not finding.is_problem


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"protocol": "qiuck"}, "protocol 'qiuck' is not known"),
        ({"protocol_hash": "0123456789ab"}, "quick@0123456789ab is not that of this version"),
        ({"students": 0}, "0 students"),
        ({"distill_seed": -1}, "distill_seed -1 is not a seed"),
        ({"eval_seed": -2}, "eval_seed -2 is not a seed"),
        ({"machine": {}}, "does not say id and processor and device"),
        ({"versions": {"torch": "2.15.0"}}, "do not say python and ddbench"),
        ({"config": {"no_such_setting": 1}}, "its settings are none of"),
        ({"phases": []}, "does not say what its evaluation took"),
        ({"distilled_bytes": -1}, "distilled_bytes of -1 is below zero"),
        ({"status": "failed", "metrics": []}, "failed without a reason"),
        ({"status": "failed", "reason": "why not"}, "has metrics all the same"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_that_cannot_be_is_told(tmp_path, fields, words):
    found = [finding.words for finding in findings(tmp_path, changed(valid(1)[0], **fields)) if finding.is_problem]
    assert any(words in text for text in found), found


def test_the_load_of_a_machine_is_not_below_zero(tmp_path):
    content = valid(1)[0]
    first, *others = content["phases"]
    load = {"seconds": 1.0, "waited_seconds": -0.5}
    phases = [{**first, "reading": {**first["reading"], "load": load}}, *others]
    words = only_problem(tmp_path, changed(content, phases=phases))
    assert f"{first['name']} load waited_seconds of -0.5 is below zero" in words


def test_the_id_of_a_machine_follows_from_what_it_is(tmp_path):
    content = valid(1)[0]
    other = changed(content, machine={**content["machine"], "processor": "a faster one"})
    assert "does not follow from what the machine is" in only_problem(tmp_path, other)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("test_accuracy", (0.5,), "1 values for 2 students"),
        ("evaluate_seconds", (-1.0,), "evaluate_seconds of -1 is out of range, at least 0"),
        ("distill_peak_host_bytes", (1.0, 2.0, 3.0), "3 values for 2 students"),
    ],
)
def test_values_have_a_range_and_a_number(tmp_path, name, values, words):
    assert words in only_problem(tmp_path, with_metric(valid(1)[0], name, values))


def test_a_gain_may_be_negative_and_a_coverage_may_not(tmp_path):
    metric = {"unit": "fraction", "higher_is_better": True, "basis": ""}
    gain = {"name": "gain[hard]", "values": [-0.1, 0.1], **metric}
    content = valid(1)[0]
    assert findings(tmp_path, changed(content, metrics=[*content["metrics"], gain])) == []
    low = {"name": "coverage[convnet-d1]", "values": [-0.1], **metric}
    assert "out of range, 0 to 1" in only_problem(tmp_path, changed(content, metrics=[*content["metrics"], low]))


def test_a_metric_stands_once_and_accuracy_is_there(tmp_path):
    content = valid(1)[0]
    twice = changed(content, metrics=[*content["metrics"], content["metrics"][0]])
    assert "test_accuracy twice" in only_problem(tmp_path, twice)
    without = changed(content, metrics=content["metrics"][1:])
    assert "no test_accuracy" in only_problem(tmp_path, without)


def test_plug_ins_are_notes_and_no_problems(tmp_path):
    found = findings(tmp_path, changed(valid(1)[0], method="of_a_plug_in", network="of-a-plug-in"))
    assert [finding.is_problem for finding in found] == [False, False]
