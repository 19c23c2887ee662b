"""Tests of the augmentation-robust score."""

import pytest

from ddbench.evaluators._random_side import RandomSide
from ddbench.evaluators._scores import normalised_score
from ddbench.evaluators.ars import PLAIN, AugmentationRobustScore
from ddbench.protocol import Protocol


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDBENCH_CACHE_DIR", str(tmp_path))


def test_its_parts_follow_from_accuracies(run, real, context):
    augmented = run.protocol.model_copy(update={"augmentation": "color_crop"})
    judged = type(run)(**{**vars(run), "protocol": augmented})
    found = {metric.name: metric.values for metric in AugmentationRobustScore().evaluate(judged, real, context)}
    side, rates = RandomSide(judged, real, context), judged.engine["ars"]["rates"]
    for name, changes in (("augmented", {}), ("plain", PLAIN)):
        own = side.own("hard", rates[name]["own"], changes)[1]
        random = side.random("hard", rates[name]["random"], changes)
        assert found[f"gain_{name}"] == tuple(a - b for a, b in zip(own, random, strict=True))
    halves = zip(found["gain_augmented"], found["gain_plain"], strict=True)
    assert found["ars"] == pytest.approx([normalised_score((a + b) / 2) for a, b in halves])


def test_what_is_left_out_is_every_augmentation_of_a_protocol():
    assert PLAIN.keys() <= Protocol.model_fields.keys()
    assert {name for name in Protocol.model_fields if "augmentation" in name} <= PLAIN.keys()
