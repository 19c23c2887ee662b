"""One cell: what is recorded, what is refused, and that equal seeds give equal numbers."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ddbench import PROTOCOLS, distill, evaluate, load_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.files import load_distilled
from ddbench.engine.chunks import explain_out_of_memory
from ddbench.errors import BadInputError, DataMismatchError, DivergedError, UnsupportedError
from ddbench.registry import METHODS
from ddbench.runs.cell import _check_protocol, run_cell
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
    assert set(result.config) == {"set_digest"}


def test_a_set_of_another_data_set_is_refused(digits):
    fewer = DistilledDataset(torch.zeros(9, 1, 8, 8), torch.arange(9), num_classes=9, ipc=1)
    with pytest.raises(DataMismatchError, match="9 classes"):
        evaluate(fewer, digits, SMOKE_PROTOCOL)
    larger = DistilledDataset(torch.zeros(10, 1, 28, 28), torch.arange(10), num_classes=10, ipc=1)
    with pytest.raises(DataMismatchError, match="28x28 and those of digits 8x8"):
        evaluate(larger, digits, SMOKE_PROTOCOL)
    renamed = distill("random_real", digits, 1).with_provenance(class_names=[f"class {k}" for k in range(10)])
    with pytest.raises(DataMismatchError, match="class 0"):
        evaluate(renamed, digits, SMOKE_PROTOCOL)


def test_no_students_are_refused(digits):
    with pytest.raises(BadInputError, match="students must be at least 1"):
        evaluate(distill("random_real", digits, 1), digits, SMOKE_PROTOCOL, students=0)


def one_each(digits, ipc=1):
    """Images of each digit, normalised, and their labels."""
    rows = torch.cat([digits.train.of_class(label)[:ipc] for label in range(10)])
    return digits.train.normalised(rows), digits.train.labels[rows]


WRONG = {
    "no set": ({"distilled": None}, "distilled must be a DistilledDataset, got None; DistilledDataset.load"),
    "path": ({"distilled": Path("set")}, "distilled must be a DistilledDataset, got PosixPath"),
    "path for data": ({"dataset": Path("digits")}, "dataset must be a RealDataset or the name of one, got PosixPath"),
    "tensor for data": ({"dataset": torch.zeros(3)}, "dataset must be a RealDataset or the name of one, got Tensor"),
    "no protocol": ({"protocol": None}, "protocol must be a Protocol, got None"),
    "text for students": ({"students": "5"}, "students must be a whole number, got text '5'"),
    "bool for a seed": ({"seed": True}, "seed must be a whole number, got True"),
    "negative seed": ({"seed": -1}, "seed must be at least 0, got -1"),
    "network": ({"network": 3}, "name of a network must be text, got 3"),
    "one evaluator": ({"evaluators": "accuracy"}, "evaluators must be a list or tuple of texts"),
    "cross network": ({"cross_networks": ("convnet-q",)}, "network convnet has no option 'q'"),
    "options": ({"options": {"device": "cpu"}}, "options must be a RunOptions, got dict"),
    "device": ({"device": 0}, "device must be cpu, cuda or"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_students_train(digits, changes, words):
    made = DistilledDataset(*one_each(digits), 10, 1)
    entered = []
    options = RunOptions(track=lambda items, *_: entered.append(1) or items)
    arguments = {"distilled": made, "dataset": digits, "protocol": SMOKE_PROTOCOL, "students": 1, "options": options}
    with pytest.raises(BadInputError, match=words):
        evaluate(**{**arguments, **changes})
    assert not entered


def test_pixels_that_no_real_image_has_are_refused_unless_the_set_says_so(digits):
    images, labels = one_each(digits)
    far = DistilledDataset(images * 12, labels, 10, 1)
    with pytest.raises(BadInputError, match="normalised images of digits must have pixels at most 3 outside"):
        evaluate(far, digits, SMOKE_PROTOCOL, students=1)
    wide = far.with_provenance(pixel_margin="unbounded")
    assert evaluate(wide, digits, SMOKE_PROTOCOL, students=1).status == "ok"


def test_a_set_of_uneven_classes_is_never_taken_for_the_whole_one(digits):
    rows = torch.cat([digits.train.of_class(label)[: 6 + 8 * (label % 2)] for label in range(10)])
    uneven = DistilledDataset(digits.train.normalised(rows), digits.train.labels[rows], 10, None)
    with pytest.raises(BadInputError, match=r"ipc None means the whole training set, 1442 .* got 100 images, 6 to 14"):
        evaluate(uneven, digits, SMOKE_PROTOCOL, students=1)
    assert evaluate(distill("full_real", digits, 1), digits, SMOKE_PROTOCOL, students=1).ipc is None


def test_images_that_require_a_gradient_are_evaluated_like_those_without(digits):
    images, labels = one_each(digits)
    learned = DistilledDataset(images.clone().requires_grad_(), labels, 10, 1)
    results = [
        evaluate(made, digits, SMOKE_PROTOCOL, students=1)
        for made in (learned, DistilledDataset(images, labels, 10, 1))
    ]
    assert results[0].metric("test_accuracy") == results[1].metric("test_accuracy")
    assert results[0].config == results[1].config


def test_soft_labels_that_a_teacher_replaces_are_named(digits):
    images, labels = one_each(digits)
    soft = DistilledDataset(images, torch.nn.functional.one_hot(labels, 10).float(), 10, 1)
    protocol = SMOKE_PROTOCOL.model_copy(update={"name": "taught", "teacher": PROTOCOLS.get("soft-label").teacher})
    with pytest.warns(UserWarning, match="taught trains on its teacher's labels: the set's own soft labels are not"):
        _check_protocol(protocol, soft, digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _check_protocol(SMOKE_PROTOCOL, soft, digits)


def test_an_integer_of_numpy_is_the_seed_it_is(digits):
    first, second = (distill("random_real", digits, ipc, seed) for ipc, seed in ((1, 3), (np.int64(1), np.int64(3))))
    assert torch.equal(first.images, second.images)
    assert type(second.ipc) is int


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": 42}, "name of a method must be text, got 42"),
        ({"dataset": torch.zeros(2)}, "dataset must be a RealDataset or the name of one"),
        ({"ipc": 1.5}, "ipc must be a whole number, got 1.5"),
        ({"seed": "x"}, "seed must be a whole number, got text 'x'"),
        ({"config": [1]}, "settings of method random_real must be a dictionary"),
        ({"share_prepare": 1}, "share_prepare must be True or False"),
    ],
)
def test_distilling_refuses_wrong_arguments(digits, changes, words):
    with pytest.raises(BadInputError, match=words):
        distill(**{"method": "random_real", "dataset": digits, "ipc": 1, **changes})


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


@pytest.mark.parametrize("code", [0, 3])
def test_a_method_that_ends_the_process_fails_its_cell_alone(tmp_path, monkeypatch, code):
    monkeypatch.setattr(METHODS.get("random_real"), "distill", lambda *_: sys.exit(code))
    result = run_cell(make_cell(), RunOptions(device="cpu"), tmp_path)
    assert (result.status, result.reason) == ("failed", f"SystemExit: {code}")


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


def test_a_rate_learned_for_sgd_is_none_of_adamw(digits):
    plain = distill("random_real", digits, 1, 0, device="cpu")
    learned = replace(plain, student_lr=0.3)
    adamw = SMOKE_PROTOCOL.model_copy(update={"name": "adamw", "optimiser": "adamw", "lr": 0.001})
    with pytest.warns(
        UserWarning, match="learned rate, 0.3, is for SGD: protocol adamw trains with adamw at its own rate"
    ):
        found = evaluate(learned, digits, adamw, "convnet-d1-w8", 2, device="cpu")
    assert found.metric("test_accuracy") == evaluate(plain, digits, adamw, "convnet-d1-w8", 2, device="cpu").metric(
        "test_accuracy"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(learned, digits, SMOKE_PROTOCOL, "convnet-d1-w8", 1, device="cpu")
