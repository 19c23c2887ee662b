"""Tests of what evaluators are made from and share: options, and students that are recorded in the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.dataset import load_dataset
from ddbench.errors import BadInputError, UnknownNameError
from ddbench.evaluator import EVALUATORS, DistillRun, Evaluator, make_evaluator, student_accuracies
from ddbench.method import make_method
from ddbench.students.trainer import StudentTrainer
from ddbench.testing import SMOKE_PROTOCOL


@pytest.fixture
def real():
    return load_dataset("digits")


@pytest.fixture
def run(real, context):
    """Two students on one image per class."""
    distilled = make_method("random_real").distill(real.train, 1, context)
    return DistillRun(distilled, SMOKE_PROTOCOL, "mlp-w4", students=2, eval_seed=3, distill_seed=5)


def test_accuracies_are_those_of_the_runs_own_trainer(run, real, context):
    logged: dict[str, object] = {}
    found = student_accuracies(run, real, "mlp-w4", replace(context, log=logged.__setitem__))
    trainer = StudentTrainer(run.distilled, SMOKE_PROTOCOL, real, torch.device("cpu"), eval_seed=3, distill_seed=5)
    assert found == trainer.train_and_test("mlp-w4", 2).accuracies
    assert list(logged.values()) == list(found)


def test_the_contexts_generator_is_not_used(run, real, context):
    state = context.generator.get_state()
    student_accuracies(run, real, "mlp-w4", context)
    assert torch.equal(context.generator.get_state(), state)


def test_how_students_were_trained_is_recorded_with_the_names_of_other_networks(run, real, context):
    run = replace(run, students_at_once=2)
    student_accuracies(run, real, "mlp-w4", context)
    own = {"students_at_once": 2, "students_together": "side by side", "passes": "eager", "training_chunk": 10}
    assert run.engine == own
    student_accuracies(run, real, "convnet-d1-w4-bn", context)
    reason = "the network keeps running statistics"
    other = {"students_at_once": 1, "students_one_by_one": reason, "passes": "eager", "training_chunk": None}
    assert run.engine == {**own, **{f"{name}[convnet-d1-w4-bn]": value for name, value in other.items()}}
    assert run.first_use == []


def test_trainers_of_a_run_share_its_engines_and_take_its_teacher(run, real):
    first, again = (run.trainer(real, torch.device("cpu")) for _ in range(2))
    assert first.engine_of("mlp-w4") is again.engine_of("mlp-w4")
    assert first.soft_labels is None
    labels = object()
    taught = replace(run, soft_labels=labels).trainer(real, torch.device("cpu"))
    assert taught.soft_labels is labels
    assert taught.engine_of("mlp-w4") is first.engine_of("mlp-w4")


class Optioned(Evaluator):
    """Takes an option."""

    takes_option = True

    def evaluate(self, run, real, ctx):
        return ()


@pytest.fixture
def optioned(monkeypatch):
    monkeypatch.setitem(EVALUATORS._entries, "optioned", Optioned)


@pytest.mark.parametrize(("spec", "option"), [("optioned", None), ("optioned:a", "a"), ("optioned:a:b", "a:b")])
def test_an_option_stands_behind_the_first_colon(spec, option, optioned):
    assert make_evaluator(spec).option == option


def test_options_that_cannot_be_are_refused(optioned):
    with pytest.raises(BadInputError, match="'optioned:' has an empty option; name it as optioned or optioned:OPTION"):
        make_evaluator("optioned:")
    with pytest.raises(BadInputError, match="evaluator accuracy takes no option, got 'accuracy:mlp'"):
        make_evaluator("accuracy:mlp")
    with pytest.raises(UnknownNameError, match="unknown evaluator 'optionet'; did you mean optioned"):
        make_evaluator("optionet:a")
