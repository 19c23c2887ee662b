"""Tests of the contract of protocols: one broken on purpose fails in the rule that is there for it."""

from __future__ import annotations

import pytest
from pydantic import ConfigDict

from ddbench.protocol import Protocol, Schedule
from ddbench.registry import PROTOCOLS
from ddbench.testing import run_contract
from ddbench.training_recipe import ScheduleByIpc

NAME = "name is the registered one"
FIELDS = "fields are frozen and valid"
HASH = "hash survives a round trip and another process"
SCHEDULES = {f"schedule makes sense at every size ({count})" for count in (10, 100)}
AUGMENTATIONS = "augmentations are known"
TRAINING = "training under it gives an accuracy that repeats"
EVERY = {NAME, FIELDS, HASH, *SCHEDULES, AUGMENTATIONS, TRAINING}
SOUND = Protocol(
    name="candidate",
    version=1,
    network="mlp-w8",
    schedule=Schedule(epochs=9, drop_at=6),
    real_schedule=Schedule(epochs=3, drop_at=2),
)
GROWING = ScheduleByIpc(steps=((1, 10), (10, 20)), beyond=30, drops=((1, 2),), factor_at_100_classes=None)
BROKEN = {
    "another name": ({"name": "other"}, {NAME}),
    "best epoch": ({"reported": "best epoch"}, {FIELDS}),
    "misspelt type": ({"lr": "fast"}, {FIELDS}),
    "drop after the end": ({"schedule": Schedule(epochs=9, drop_at=9)}, SCHEDULES),
    "drops out of order": ({"schedule": Schedule(epochs=9, drop_at=6, later_drops=(5,))}, SCHEDULES),
    "more epochs for more images": ({"schedule": GROWING}, SCHEDULES),
    "whole set longest": ({"real_schedule": Schedule(epochs=90, drop_at=2)}, SCHEDULES),
    "unknown strategy": ({"augmentation": "color_blur"}, {AUGMENTATIONS}),
    "unknown strategy for a data set": ({"augmentation_for": {"digits": "mirror"}}, {AUGMENTATIONS}),
    "unknown optimiser": ({"optimiser": "adam"}, {FIELDS}),
    "rate that diverges": ({"lr": 1e30}, {TRAINING}),
}


def failures(protocol, monkeypatch):
    monkeypatch.setitem(PROTOCOLS._entries, "candidate", protocol)
    outcomes = {outcome.rule: outcome for outcome in run_contract("protocol", "candidate")}
    assert set(outcomes) == EVERY
    return {rule for rule, outcome in outcomes.items() if not outcome.holds}


def test_a_sound_protocol_passes(monkeypatch):
    assert failures(SOUND, monkeypatch) == set()


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_broken_protocol_fails_where_it_is_broken(case, monkeypatch):
    changes, expected = BROKEN[case]
    found = failures(SOUND.model_copy(update=changes), monkeypatch)
    assert found >= expected
    assert found != EVERY


def test_an_object_that_can_be_changed_fails(monkeypatch):
    class Thawed(Protocol):
        model_config = ConfigDict(frozen=False)

    thawed = Thawed.model_validate(SOUND.model_dump())
    assert FIELDS in failures(thawed, monkeypatch)
