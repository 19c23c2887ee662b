"""Errors and power of every claim rule on simulated results; `docs/claims.md` has the table of the whole simulation."""

from __future__ import annotations

import pytest
from scipy import stats

from tests._claims_simulation import LEVEL, SCENARIOS, simulate

POWER = 0.8
CHANCE = 1e-4  # that a rate which is exactly at its bound falls outside what a test lets pass


def check(scenario, sets: int) -> None:
    """Alarms at most at the level and power at least 80 %, as far as so many sets can tell."""
    most = stats.binom.isf(CHANCE, sets, LEVEL) / sets
    fewest = stats.binom.ppf(CHANCE, sets, POWER) / sets
    rates = simulate(scenario, sets)
    alarms = {"supported": rates.false_support or 0.0, "refuted": rates.false_refutation or 0.0}
    assert max(alarms.values()) <= most, f"{alarms} at the border, at most {most:.3f}"
    assert min(rates.support, rates.refutation) >= fewest, f"{rates}, at least {fewest:.3f}"


def label(scenario) -> str:
    return f"{scenario.rule}, {scenario.spread}"


# One of each rule, few sets: a rule with the wrong sign or tail errs in far more sets than this lets pass. The last
# scenario, a correction over ten cells, needs more sets and time than that.
@pytest.mark.parametrize("scenario", {s.rule: s for s in reversed(SCENARIOS[:-1])}.values(), ids=label)
def test_every_rule_keeps_its_level_and_has_power(scenario):
    check(scenario, 25)


@pytest.mark.long
@pytest.mark.parametrize("scenario", SCENARIOS, ids=label)
def test_the_simulation_of_the_documentation(scenario):
    check(scenario, 1000)
