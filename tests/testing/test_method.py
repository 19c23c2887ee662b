"""Tests of the contract of methods: one broken on purpose fails, in the test that is there for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.method import METHODS, Method
from ddbench.testing import run_contract
from tests.testing._broken_methods import (
    Crashes,
    DrawsNothing,
    ForgetsASetting,
    ForgetsASettingOfItsFoundation,
    ForksGlobalTorch,
    GlobalTorch,
    IgnoresSeed,
    OtherIpc,
    PreparesByUnknownFields,
    PreparesWhatItHidesFromItsSet,
    Preparing,
    PromisesTooMuch,
    ReadsTestSplit,
    ReadsTheCalendar,
    ReadsTheClock,
    RefusesWithoutReason,
    SaysItDrawsNothing,
    SeededGlobalNumpy,
    SeededGlobalPython,
    SeededGlobalTorch,
    Sound,
    ThawedSettings,
    UnevenClasses,
    UnstorableProvenance,
    UnstorableSettings,
    UsesATemporaryFolder,
    WritesBesideItsFile,
    WritesIntoASharedTemporaryFolder,
    WritesIntoTheHomeFolder,
    WritesIntoTheWorkingFolder,
    WritesToImages,
    WritesToLabels,
)

SHAPE = "test_set_has_the_shape_asked_for"
ON_CPU = "test_set_is_on_the_cpu_without_gradient"
SAME_SEED = "test_same_seed_gives_the_same_set"
OTHER_SEEDS = "test_other_seeds_give_other_sets"
UNTOUCHED = "test_training_data_and_global_generators_are_untouched"
CONFIG = "test_config_is_frozen_complete_and_storable"
TOO_MANY = "test_too_many_images_are_refused_with_a_reason_or_made"
ROUND_TRIP = "test_set_survives_a_round_trip_through_files"
GLOBALS = "test_set_does_not_follow_from_global_generators"
CLOCK = "test_set_does_not_follow_from_the_clock"
TRAINING_SPLIT = "test_only_the_training_split_is_seen"
OUTSIDE = "test_nothing_is_written_outside_its_context"
SETTINGS = "test_what_is_prepared_depends_on_every_setting_but_those_named"
KEPT = "test_a_kept_folder_gives_what_an_empty_cache_gives"
TRIALS = {SHAPE, ON_CPU, SAME_SEED, OTHER_SEEDS, UNTOUCHED, GLOBALS, CLOCK, TRAINING_SPLIT, OUTSIDE, ROUND_TRIP}
EVERY = {*TRIALS, CONFIG, TOO_MANY, SETTINGS, KEPT}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working and a home folder of each test's own: some of the broken methods write into them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def failures(method: type[Method], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run the contract suite on a method registered for this test; return reasons by name of the tests that failed."""
    monkeypatch.setitem(METHODS._entries, "candidate", method)
    outcomes = {f"test_{outcome.rule.replace(' ', '_')}": outcome for outcome in run_contract("method", "candidate")}
    assert set(outcomes) >= EVERY
    for outcome in outcomes.values():
        assert outcome.holds == (not outcome.reason) == (not outcome.traceback)
        assert "\n" not in outcome.reason
    return {name: outcome.reason for name, outcome in outcomes.items() if not outcome.holds}


@pytest.mark.parametrize("method", [Sound, Preparing, UsesATemporaryFolder, DrawsNothing])
def test_a_sound_method_passes(method, monkeypatch):
    assert failures(method, monkeypatch) == {}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (GlobalTorch, {SAME_SEED, UNTOUCHED, GLOBALS}),
        (ForksGlobalTorch, {GLOBALS}),
        (ForgetsASetting, {KEPT}),
        (ForgetsASettingOfItsFoundation, {KEPT}),
        (ReadsTestSplit, {TRAINING_SPLIT}),
        (ReadsTheClock, {CLOCK}),
        (ReadsTheCalendar, {CLOCK}),
        (WritesIntoTheWorkingFolder, {OUTSIDE}),
        (WritesIntoTheHomeFolder, {OUTSIDE}),
        (WritesBesideItsFile, {OUTSIDE}),
        (WritesIntoASharedTemporaryFolder, {OUTSIDE}),
        (SeededGlobalTorch, {UNTOUCHED}),
        (SeededGlobalNumpy, {UNTOUCHED}),
        (SeededGlobalPython, {UNTOUCHED}),
        (IgnoresSeed, {OTHER_SEEDS}),
        (SaysItDrawsNothing, {OTHER_SEEDS}),
        (PreparesWhatItHidesFromItsSet, {KEPT}),
        (WritesToImages, {UNTOUCHED}),
        (WritesToLabels, {UNTOUCHED}),
        (UnevenClasses, {SHAPE}),
        (OtherIpc, {SHAPE}),
        (PromisesTooMuch, {TOO_MANY}),
        (RefusesWithoutReason, {TOO_MANY}),
        (UnstorableSettings, {CONFIG}),
        (ThawedSettings, {CONFIG}),
        (PreparesByUnknownFields, {CONFIG}),
        (UnstorableProvenance, {ROUND_TRIP}),
        (Crashes, TRIALS),
    ],
)
def test_a_broken_method_fails_where_it_is_broken(method, expected, monkeypatch):
    found = set(failures(method, monkeypatch))
    assert found >= expected
    # What is broken may show in further places, but not everywhere.
    assert method is Crashes or found != EVERY


@pytest.mark.parametrize(
    ("method", "guilty"), [(ForgetsASetting, "epochs"), (ForgetsASettingOfItsFoundation, "epochs")]
)
def test_the_setting_that_was_forgotten_is_named_alone(method, guilty, monkeypatch):
    reason = failures(method, monkeypatch)[KEPT]
    assert f" depends on {guilty}: " in reason
    assert ("foundation" in reason) == (method is ForgetsASettingOfItsFoundation)


def test_no_rule_leaves_files_where_the_user_is(tmp_path, monkeypatch):
    failures(WritesIntoTheWorkingFolder, monkeypatch)
    failures(WritesIntoTheHomeFolder, monkeypatch)
    assert list(tmp_path.iterdir()) == []
