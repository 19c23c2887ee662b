"""Tests of the label-robust score."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddbench.errors import BadInputError
from ddbench.evaluators._random_side import RandomSide
from ddbench.evaluators._rate_search import RATES, choose_own_rate, choose_random_rate, split_off
from ddbench.evaluators._scores import normalised_score
from ddbench.evaluators.lrs import LabelRobustScore, full_accuracy
from ddbench.runs.cell import evaluate
from ddbench.runs.distill import distill
from ddbench.testing import SMOKE_PROTOCOL
from ddbench.training_recipe import ManyClasses


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path))


@given(st.floats(-1, 1))
def test_the_score_of_fractions_lies_in_zero_to_one_and_rises(alpha):
    assert 0 <= normalised_score(alpha) <= 1
    assert normalised_score(min(1, alpha + 0.01)) >= normalised_score(alpha)


def test_the_score_of_percentages_is_the_floor_that_the_other_program_prints():
    assert normalised_score(0.5 * 2.0 - 0.5 * 70.8) == pytest.approx(-0.15652, abs=1e-5)
    assert normalised_score(0.5 * 0.02 - 0.5 * 0.708) == pytest.approx(0.1451, abs=1e-4)


def test_its_parts_follow_from_accuracies(run, real, context):
    found = {metric.name: metric.values for metric in LabelRobustScore().evaluate(run, real, context)}
    facts = run.engine["lrs"]
    side = RandomSide(run, real, context)
    hard = side.own("hard", facts["rates"]["hard"])[1]
    assert found["hlr"] == tuple(facts["full_accuracy"] - value for value in hard)
    own, random = side.own("hard", facts["rates"]["own"])[1], side.random("hard", facts["rates"]["random"])
    assert found["ior"] == tuple(a - b for a, b in zip(own, random, strict=True))
    wanted = [(math.exp(i / 2 - h / 2) - math.exp(-1)) / (math.e - math.exp(-1))
              for i, h in zip(found["ior"], found["hlr"], strict=True)]  # fmt: skip
    assert found["lrs"] == pytest.approx(wanted)


def test_the_whole_datas_accuracy_is_the_same_whatever_set_comes_first(run, real, context, tmp_path, monkeypatch):
    found = []
    for order in ((0, 3), (3, 0)):
        monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path / str(order)))
        found += [full_accuracy(RandomSide(replace(run, distill_seed=seed), real, context)) for seed in order]
    assert len(set(found)) == 1
    whole = distill("full_real", real, 1)
    unknown = replace(whole, provenance={k: v for k, v in whole.provenance.items() if k != "distill_seed"})
    wanted = evaluate(unknown, real, SMOKE_PROTOCOL, run.network, 1, run.eval_seed).metric("test_accuracy").values
    assert found[0] == wanted[0]


def test_beside_soft_labels_of_its_own_random_images_have_a_teachers(run, real, context, tmp_path, monkeypatch):
    own = torch.nn.functional.one_hot(run.distilled.labels, 10).float()
    soft = replace(run, distilled=replace(run.distilled, labels=own))
    found = {metric.name: metric.values for metric in LabelRobustScore("0.9").evaluate(soft, real, context)}
    facts = soft.engine["lrs"]
    assert facts["labels"] == "own"
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path / "fresh"))
    side = RandomSide(soft, real, context)
    assert facts["rates"]["random"] == choose_random_rate(side, "soft")
    random = side.random("soft", facts["rates"]["random"])
    accuracies = side.own("own", facts["rates"]["own"])[1]
    assert found["ior[full 0.9]"] == tuple(a - b for a, b in zip(accuracies, random, strict=True))


def test_a_searched_rate_is_used_whatever_the_protocol_says_of_many_classes(run, real, context):
    many = ManyClasses(more_than=5, lr=0.02, weight_decay=0.0, batch_size=8)
    side = RandomSide(replace(run, protocol=run.protocol.model_copy(update={"many_classes": many})), real, context)
    labelled = side.labelled(side.random_set(), "hard")
    assert side.trainer(labelled).plan.lr == 0.02
    assert side.trainer(labelled, 0.5).plan.lr == 0.5


def test_a_recorded_accuracy_is_taken_and_said(run, real, context):
    found = {metric.name: metric.values for metric in LabelRobustScore("0.9").evaluate(run, real, context)}
    assert set(found) == {"lrs[full 0.9]", "hlr[full 0.9]", "ior[full 0.9]"}
    for wrong in ("84.8", "0", "x", "nan", "-0.5"):
        with pytest.raises(BadInputError, match=r"a fraction in 0\.\.1"):
            LabelRobustScore(wrong)


def test_rates_come_from_held_out_training_images(run, real, context, monkeypatch):
    rest, held = split_off(real.train)
    assert sorted([*torch.cat(rest).tolist(), *held.tolist()]) == list(range(len(real.train)))
    assert torch.equal(real.train.labels[held].bincount(), real.train.class_counts() // 10)
    side = RandomSide(run, real, context)
    monkeypatch.setattr(
        type(real.test), "on", lambda self, device: self if len(self) == len(held) else pytest.fail("the test set")
    )
    assert choose_own_rate(side, "hard") in RATES
    assert choose_random_rate(side, "hard") in RATES


def test_a_learned_rate_goes_with_the_sets_own_labels(run, real, context):
    learned = replace(run, distilled=replace(run.distilled, student_lr=0.0333))
    LabelRobustScore("0.9").evaluate(learned, real, context)
    assert learned.engine["lrs"]["rates"]["own"] == 0.0333
    assert learned.engine["lrs"]["rates"]["hard"] in RATES
