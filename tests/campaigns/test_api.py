"""Misuse of the Python API: every argument of every public function gets wrong values, the others right ones.

Bad is what is accepted, an error of another kind than ddbench's own, one that comes once training has begun, and a
message that is empty, long or of several lines.
"""

from __future__ import annotations

import warnings
from random import Random

import pytest

from ddbench.errors import LONGEST_MESSAGE, DDBenchError
from ddbench.runs.distill import RunOptions
from tests.campaigns._targets import Target, Training, maker_targets, run_targets, set_targets

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("own_cache")]
TRACKED = ("distill", "evaluate")


def call(target: Target, arguments: dict[str, object]) -> tuple[str, str]:
    """Call a target and return how it ended: `refused`, or what was bad about it, and the words that came."""
    training = Training()
    if target.name in TRACKED and "options" not in arguments:
        arguments = {**arguments, "options": RunOptions(track=training)}
    if target.name == "train_network" and "track" not in arguments:
        arguments = {**arguments, "track": training}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of how the wrong values were made
            target.call(**arguments)
    except DDBenchError as error:
        message = str(error)
        if training.has_begun:
            return "late", message
        return ("message" if not 0 < len(message) <= LONGEST_MESSAGE or "\n" in message else "refused"), message
    except Exception as error:
        return "raw error", f"{type(error).__name__}: {str(error)[:200]}"
    return "accepted", ""


def draw(target: Target, random: Random) -> tuple[str, dict[str, object]]:
    """Return arguments of which one is wrong, or two that have changed places, and words for which."""
    argument = random.choice(sorted(target.wrong))
    number = random.randrange(len(target.wrong[argument]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = target.wrong[argument][number](random)
    shown = f"{target.name}, {argument} number {number}, {type(value).__name__}"
    if isinstance(value, str | float | bool | tuple):
        shown = f"{shown} {value!r}"[:160]
    return shown, {**target.right, argument: value}


def test_wrong_arguments_are_refused_before_anything_begins(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets = [*set_targets(), *maker_targets(), *run_targets(tmp_path)]
    for target in targets:  # what is called right is not refused, or refusing proves nothing
        if target.name not in ("run_suite", "make_table", "save", "load", *TRACKED):
            target.call(**target.right)
    for _ in range(campaign.number(300, 1200)):
        target = campaign.random.choice(targets)
        shown, arguments = draw(target, campaign.random)
        outcome, words = call(target, arguments)
        if outcome == "refused":
            campaign.count(outcome)
        else:
            campaign.count_bad(outcome, f"{shown}: {words}")


def test_swapped_arguments_are_refused(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets = [target for target in [*set_targets(), *run_targets(tmp_path)] if target.name != "load_dataset"]
    alike = {frozenset(pair) for pair in ALIKE}
    for target in targets:
        names = sorted(target.right)
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                if frozenset((first, second)) in alike:
                    continue
                swapped = {**target.right, first: target.right[second], second: target.right[first]}
                outcome, words = call(target, swapped)
                if outcome == "refused":
                    campaign.count(outcome)
                else:
                    campaign.count_bad(outcome, f"{target.name} with {first} and {second} swapped: {words}")


# Both values are of one kind, so that neither can be told from the other.
ALIKE = [("name", "unit"), ("train", "test"), ("mean", "std"), ("fingerprint", "name")]
