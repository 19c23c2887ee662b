"""One cell: what is recorded, what is refused, and that equal seeds give equal numbers."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from ddbench import PROTOCOLS, distill, evaluate, load_dataset
from ddbench.distilled import load_distilled
from ddbench.engine.chunks import explain_out_of_memory
from ddbench.errors import BadInputError, DataMismatchError, DivergedError, UnsupportedError
from ddbench.records import DistilledDataset
from ddbench.registry import METHODS
from ddbench.runs.cell import run_cell
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Cell
from ddbench.testing import SMOKE_PROTOCOL

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def make_cell(**changes):
    fields = {
        "method": "random_real",
        "config": {},
        "dataset": "digits",
        "ipc": 1,
        "network": "convnet-d1-w8",
        "protocol": "quick",
        "protocol_hash": PROTOCOLS.get("quick").hash,
        "distill_seed": 0,
        "eval_seed": 0,
        "students": 1,
    }
    return Cell(**{**fields, **changes})


def test_distilled_set_says_where_it_comes_from(digits):
    provenance = distill("herding", digits, 1, 3, METHODS.get("herding").smoke_settings, "cpu").provenance
    assert provenance["method"] == "herding"
    assert provenance["distill_seed"] == 3
    assert provenance["config"]["feature_epochs"] == 1
    assert provenance["dataset_fingerprint"] == digits.info.fingerprint
    assert [phase["name"] for phase in provenance["phases"]] == ["first_use", "prepare", "distill"]
    json.dumps(dict(provenance))


def test_distilling_takes_a_data_set_name_and_the_same_seed_gives_the_same_set():
    first, second = (distill("random_real", "digits", 2, seed=5) for _ in range(2))
    assert torch.equal(first.images, second.images)


@pytest.mark.parametrize("ipc", [0, -1, 1000])
def test_an_impossible_ipc_is_refused_with_the_range(digits, ipc):
    with pytest.raises(UnsupportedError if ipc > 0 else BadInputError, match=r"ipc must be .*1"):
        distill("random_real", digits, ipc)


def test_evaluation_is_repeatable_and_keeps_every_student(digits):
    distilled = distill("random_real", digits, 1)
    first, second = (evaluate(distilled, digits, SMOKE_PROTOCOL, students=3, seed=1) for _ in range(2))
    assert first.metric("test_accuracy") == second.metric("test_accuracy")
    assert len(first.metric("test_accuracy").values) == 3
    assert first.key == second.key


def test_a_saved_set_evaluates_to_the_same_number(digits, tmp_path):
    distilled = distill("random_real", digits, 2, seed=1)
    loaded = load_distilled(distilled.save(tmp_path / "set"))
    results = [evaluate(each, "digits", "quick", "convnet-d1-w8", students=1) for each in (distilled, loaded)]
    assert results[0].metric("test_accuracy") == results[1].metric("test_accuracy")


def test_result_holds_the_circumstances_of_its_numbers(digits):
    result = evaluate(distill("random_real", digits, 1), digits, SMOKE_PROTOCOL, students=1)
    assert result.protocol_hash == SMOKE_PROTOCOL.hash
    assert result.dataset_fingerprint == digits.info.fingerprint
    assert {"id", "processor", "threads"} <= set(result.machine)
    assert "torch" in result.versions
    assert result.started_at.endswith("+00:00")
    assert result.space == "pixels"
    assert result.label_mode == "hard"
    assert {phase.name for phase in result.phases} == {"first_use", "distill", "evaluate"}
    assert result.metric("evaluate_seconds").values[0] == result.phase("evaluate").reading.seconds
    assert result.metric("distill_peak_allocated_bytes") is None or torch.cuda.is_available()


def test_a_set_from_elsewhere_can_be_evaluated(digits):
    images = digits.train.normalised(torch.arange(10))
    foreign = DistilledDataset(images, torch.arange(10), num_classes=10, ipc=1)
    result = evaluate(foreign, digits, SMOKE_PROTOCOL, students=1)
    assert result.method == "external"
    assert "images_sha256" in result.config


def test_a_set_of_another_data_set_is_refused(digits):
    fewer = DistilledDataset(torch.zeros(9, 1, 8, 8), torch.arange(9), num_classes=9, ipc=1)
    with pytest.raises(DataMismatchError, match="9 classes"):
        evaluate(fewer, digits, SMOKE_PROTOCOL)
    larger = DistilledDataset(torch.zeros(10, 1, 28, 28), torch.arange(10), num_classes=10, ipc=1)
    with pytest.raises(DataMismatchError, match=r"\(1, 28, 28\)"):
        evaluate(larger, digits, SMOKE_PROTOCOL)
    renamed = distill("random_real", digits, 1).with_provenance(class_names=[f"class {k}" for k in range(10)])
    with pytest.raises(DataMismatchError, match="class 0"):
        evaluate(renamed, digits, SMOKE_PROTOCOL)


def test_no_students_are_refused(digits):
    with pytest.raises(BadInputError, match="students must be at least 1"):
        evaluate(distill("random_real", digits, 1), digits, SMOKE_PROTOCOL, students=0)


def test_cell_keeps_set_and_log(tmp_path):
    cell = make_cell()
    result = run_cell(cell, RunOptions(device="cpu"), tmp_path)
    assert (result.status, result.key) == ("ok", cell.key)
    assert load_distilled(tmp_path / "distilled").ipc == 1
    assert "test_accuracy" in (tmp_path / "log.txt").read_text()


def test_cell_reuses_the_set_of_another_network(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    one = run_cell(make_cell(distill_seed=7), RunOptions(device="cpu"), first)
    other = run_cell(
        make_cell(distill_seed=7, network="mlp"), RunOptions(device="cpu"), second, reuse=first / "distilled"
    )
    assert other.status == "ok"
    assert other.distill_seed == 7
    assert one.phase("distill") == other.phase("distill")


def test_unsupported_cell_is_skipped_with_its_reason(tmp_path):
    result = run_cell(make_cell(ipc=1000), RunOptions(device="cpu"), tmp_path)
    assert result.status == "skipped"
    assert "ipc must be" in result.reason


def test_failing_cell_is_a_result_and_its_traceback_is_in_the_log(tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(METHODS.get("random_real"), "distill", fail)
    result = run_cell(make_cell(), RunOptions(device="cpu"), tmp_path)
    assert result.status == "failed"
    assert result.reason == "ZeroDivisionError: on purpose"
    assert "Traceback" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("error", [MemoryError("host"), torch.OutOfMemoryError("device")])
def test_out_of_memory_is_a_result(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(METHODS.get("random_real"), "distill", fail)
    result = run_cell(make_cell(), RunOptions(device="cpu"), tmp_path)
    assert (result.status, result.reason) == ("out_of_memory", explain_out_of_memory(error))
    assert result.reason.startswith(f"{error}; take fewer images per class")


def test_interrupt_is_not_swallowed(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(METHODS.get("random_real"), "distill", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_cell(make_cell(), RunOptions(device="cpu"), tmp_path)


def test_a_set_that_a_diverged_distillation_left_is_refused(digits):
    left = distill("random_real", digits, 1, device="cpu").with_provenance(diverged="mtt stopped at step 3")
    with pytest.raises(BadInputError, match=r"diverged .mtt stopped at step 3.; distil again"):
        evaluate(left, digits, protocol="quick", students=1, device="cpu")


def test_divergence_travels_between_processes(digits):
    # A copy is made the way a pickle is.
    error = copy.copy(DivergedError("exploded", distill("random_real", digits, 1, device="cpu")))
    assert str(error) == "exploded"
    assert error.last_good.ipc == 1
