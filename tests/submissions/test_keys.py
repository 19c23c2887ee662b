"""Tests of keys that are recomputed from the content of a result, whose evaluators its metrics tell."""

import json

import pytest

from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import read_results
from ddbench.submissions.data import Specs, specs_of
from ddbench.submissions.keys import check_key
from tests.submissions._valid import changed, read, valid, write

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_recorded_key_follows_from_the_content(path):
    for result in read_results([path]):
        assert list(check_key(result, specs_of(result.dataset))) == [], result.title


@pytest.mark.parametrize(
    "fields",
    [
        {"distill_seed": 77},
        {"eval_seed": 5},
        {"ipc": 7},
        {"students": 3},
        {"network": "mlp"},
        {"method": "herding"},
        {"config": {"a": 1}},
        {"protocol_hash": "0123456789ab"},
        {"share_prepare": True},
        {"key": "0123456789abcdef"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_key_of_something_else_is_told(tmp_path, fields):
    (result,) = read(write(tmp_path / "one.jsonl", [changed(valid(1)[0], **fields)]))
    (finding,) = check_key(result, specs_of("digits"))
    assert finding.is_problem
    assert "does not follow from its content" in finding.words


@pytest.mark.parametrize("key", ["", "DEADBEEFDEADBEEF", "../../../etc", "0123456789abcde"])
def test_what_is_no_key_is_told(tmp_path, key):
    (result,) = read(write(tmp_path / "one.jsonl", [changed(valid(1)[0], key=key)]))
    (finding,) = check_key(result, specs_of("digits"))
    assert "is not a key of a cell" in finding.words


def test_what_cannot_be_recomputed_is_a_note(tmp_path):
    content = valid(1)[0]
    unknown = {"name": "contrast", "unit": "score", "higher_is_better": True, "values": [1.0], "basis": ""}
    (result,) = read(write(tmp_path / "one.jsonl", [changed(content, metrics=[*content["metrics"], unknown])]))
    (finding,) = check_key(result, specs_of("digits"))
    assert not finding.is_problem
    (result,) = read(write(tmp_path / "one.jsonl", [changed(content, dataset="my_folder")]))
    (finding,) = check_key(result, specs_of("my_folder"))
    assert not finding.is_problem


def test_a_cell_without_a_number_may_have_been_asked_for_anything(tmp_path):
    from ddbench.runs.suite import Cell

    content = {**valid(1)[0], "status": "failed", "reason": "why not", "metrics": [], "phases": []}
    fields = {name: content[name] for name in Cell.model_fields if name in content and name != "dataset_fingerprint"}
    key = Cell(**fields, evaluators=("accuracy", "coverage", "wall_clock")).key
    (result,) = read(write(tmp_path / "one.jsonl", [changed(content, key=key)]))
    assert list(check_key(result, specs_of("digits"))) == []


def test_names_of_data_sets():
    assert specs_of("digits") == Specs(("digits",), are_all=True)
    assert not specs_of("imagenette,size=64").are_all
    assert "imagenette,source=imagenette224-subset,size=64" in specs_of("imagenette224-subset,size=64").texts
    assert specs_of("nobody_knows") == Specs(("nobody_knows",), are_all=False)
    assert json.dumps(specs_of("digits").texts)
