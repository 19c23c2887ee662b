"""What campaigns share: a seed and a size from the command line, a count of what was tried, and failing on one bad.

A campaign is a test marked `campaign` that takes the fixture `campaign`. At the end of the run each prints one line.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator

import pytest

_finished: dict[tuple[str, int], list[Campaign]] = {}


class Campaign:
    """The cases of one test: what was tried and what went badly.

    Args:
        name: of the campaign, `damage` in `test_damage.py`.
        seed: of the command line.
        size: `sample` or `full`.

    Attributes:
        random: draws of this campaign and seed; the only source of chance.
        outcomes: how many cases ended in each way, good and bad ones.
    """

    def __init__(self, name: str, seed: int, size: str) -> None:
        self.name, self.seed, self.size = name, seed, size
        self.random = random.Random(f"{name}-{seed}")
        self.outcomes: Counter[str] = Counter()
        self.bad: list[tuple[str, str]] = []

    def number(self, sample: int, full: int) -> int:
        """Return how many cases to try."""
        return full if self.size == "full" else sample

    def count(self, outcome: str) -> None:
        """Count a case that ended as it should; `outcome` says how, such as `noticed`."""
        self.outcomes[outcome] += 1

    def count_bad(self, kind: str, case: str) -> None:
        """Count a case that went badly: `kind` such as `traceback`, and what was done with what came of it."""
        self.outcomes[kind] += 1
        self.bad.append((kind, case))

    def check(self) -> None:
        """Fail where nothing was tried or one case was bad."""
        assert self.outcomes.total(), f"{self.name}: nothing was tried"
        shown = "\n".join(f"  {kind}: {case}" for kind, case in self.bad[:50])
        assert not self.bad, f"{self.name}, seed {self.seed}: {len(self.bad)} bad\n{shown}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each campaign on every seed asked for."""
    if "campaign" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("campaign_seed") or [0]
        metafunc.parametrize("campaign", seeds, indirect=True, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """The count of this test's cases; it fails the test by itself where one is bad."""
    name = request.path.stem.removeprefix("test_")
    made = Campaign(name, request.param, request.config.getoption("campaign_size"))
    made.random.seed(f"{request.node.nodeid}")  # tests of one file draw different cases
    _finished.setdefault((name, made.seed), []).append(made)
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Look at the count when the test has ended."""
    result = yield
    found = getattr(item, "funcargs", {}).get("campaign")
    if isinstance(found, Campaign):
        found.check()
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line a campaign and seed: `damage, seed 0: tried 120, bad 0 (noticed 80, same 40)`."""
    for (name, seed), made in sorted(_finished.items()):
        outcomes = sum((one.outcomes for one in made), Counter[str]())
        bad = sum(len(one.bad) for one in made)
        parts = ", ".join(f"{kind} {number}" for kind, number in outcomes.most_common())
        terminalreporter.write_line(f"{name}, seed {seed}: tried {outcomes.total()}, bad {bad} ({parts})")
