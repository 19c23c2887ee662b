"""pytest plug-in: `pytest --ddbench-claims FILE --ddbench-results DIR` makes a test of every claim.

A claim that is supported passes; one that is refuted, inconclusive or not comparable fails with the line that says what
moved; one that is not measured is skipped with its reason. Tests are named by the claims: `FILE::ID`. Without paths on
the command line, pytest then runs the claims alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddbench.errors import DDBenchError

if TYPE_CHECKING:
    from ddbench.claims import Verdict

CLAIMS, RESULTS = "--ddbench-claims", "--ddbench-results"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options; both may be given several times."""
    group = parser.getgroup("ddbench", "claims about dataset distillation")
    group.addoption(CLAIMS, action="append", default=[], metavar="FILE", help="claims file; a test for each claim")
    group.addoption(
        RESULTS,
        action="append",
        default=[],
        metavar="PATH",
        help="results folder or file the claims are judged against",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the claims files: beside the paths that were named, else instead of the whole project."""
    files = [str(Path(file)) for file in config.getoption(CLAIMS)]
    if not files:
        return
    if not config.getoption(RESULTS):
        raise pytest.UsageError(f"{CLAIMS} needs {RESULTS}: the results to judge the claims against")
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise pytest.UsageError(f"claims file {missing[0]} does not exist")
    named = config.args if config.args_source == config.ArgsSource.ARGS else []
    config.args = [*named, *files]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a claims file that was asked for."""
    asked_for = {Path(file).resolve() for file in parent.config.getoption(CLAIMS)}
    if file_path.resolve() not in asked_for:
        return None
    found: pytest.Collector = ClaimsFileItems.from_parent(parent, path=file_path)
    return found


class ClaimsFileItems(pytest.File):
    """A claims file, judged as a whole: its claims are one family."""

    def collect(self) -> Iterable[pytest.Item]:
        """Judge the file and yield a test for each claim."""
        from ddbench.claims import judge, read_sources

        try:
            verdicts = judge(self.path, read_sources(self.config.getoption(RESULTS)))
        except DDBenchError as error:
            raise self.CollectError(str(error)) from error
        for verdict in verdicts:
            yield ClaimItem.from_parent(self, name=verdict.id, verdict=verdict)


class ClaimItem(pytest.Item):
    """One claim as a test."""

    def __init__(self, *, verdict: Verdict, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.verdict = verdict

    def runtest(self) -> None:
        """Pass, skip or fail as the verdict says."""
        verdict = self.verdict
        line = f"{verdict.verdict}: {verdict.sentence} {verdict.moved}"
        if verdict.verdict == "not measured":
            pytest.skip(line)
        if verdict.verdict != "supported":
            pytest.fail(line, pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the claim in reports."""
        return self.path, None, self.verdict.id
