"""Run a contract by name and say of every rule whether it holds, as `ddbench check` does."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ddbench.errors import BadInputError, DDBenchError
from ddbench.registry import EVALUATORS, EXPORTERS, IMPORTERS, LOGGERS, METHODS, PROTOCOLS, RUNNERS, suggest

if TYPE_CHECKING:
    import pytest

Kind = Literal["method", "network", "dataset", "evaluator", "protocol", "importer", "exporter", "runner", "logger"]


@dataclass(frozen=True)
class Outcome:
    """Whether a rule of a contract holds.

    Attributes:
        rule: in plain words.
        holds: whether it does.
        reason: one line, empty where it holds.
        traceback: where it failed, empty where it holds.
    """

    rule: str
    holds: bool
    reason: str = ""
    traceback: str = ""


def run_contract(kind: str, name: str, show: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """Run the contract of a kind on one entry.

    Args:
        kind: `method`, `network`, `dataset`, `evaluator`, `protocol`, `importer`, `exporter`, `runner` or `logger`.
        name: registered name, a network's with its variant, a data set's with its options.
        show: called with each outcome as soon as it is known.

    Raises:
        UnknownNameError: no such entry.
        BadInputError: no such kind, a variant or option that the entry does not take, or pytest or a logger's tracker
            is not installed.
        DataMissingError: the data set's files are not there.
    """
    if kind not in get_args(Kind):
        raise BadInputError(f"there is no contract of {kind!r}; {suggest(kind, get_args(Kind))}")
    try:
        import_module("pytest")
    except ModuleNotFoundError as error:
        raise BadInputError('ddbench check needs pytest: pip install "ddbench[testing]"') from error
    _find(kind, name)
    source = (
        f"from ddbench.testing import {kind.capitalize()}Contract, own_cache\n\n"
        f"class TestContract({kind.capitalize()}Contract):\n    name = {name!r}\n"
    )
    collector = _Collector(show)
    with tempfile.TemporaryDirectory(prefix="ddbench_check_") as folder:
        # A name of its own: Python keeps the module, and a second run in this process would get the first one's.
        path = Path(folder) / f"test_{Path(folder).name}.py"
        path.write_text(source, encoding="utf-8")
        _run_pytest(path, collector)
    return collector.outcomes


def _find(kind: str, name: str) -> None:
    """Raise what is to be said of an entry that is not there."""
    match kind:
        case "method":
            METHODS.get(name)
        case "evaluator":
            EVALUATORS.get(name)
        case "protocol":
            PROTOCOLS.get(name)
        case "importer":
            IMPORTERS.get(name)
        case "exporter":
            EXPORTERS.get(name)
        case "runner":
            RUNNERS.get(name)
        case "logger":
            LOGGERS.get(name).check()
        case "network":
            import_module("ddbench.testing.network").fitting_shape(name)
        case _:
            import_module("ddbench.dataset").load_dataset(name)


def _run_pytest(path: Path, collector: _Collector) -> None:
    """Run the tests of a file without a word of pytest's own."""
    import pytest

    folder = path.parent
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    arguments = ["--rootdir", str(folder), "-c", str(settings), "--import-mode=importlib"]
    # Those of exceptions that nobody raises collect garbage at every end, seconds in a program that holds much.
    for unused in ("cacheprovider", "unraisableexception", "threadexception"):
        arguments += ["-p", f"no:{unused}"]
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.delenv("PYTEST_ADDOPTS", raising=False)  # the user's own would choose among the rules
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # some write into the working folder
        code = pytest.main([*arguments, str(path)], plugins=[collector])
    if code == pytest.ExitCode.INTERRUPTED and not collector.broken:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        lines = said.getvalue().strip().splitlines() or ["pytest said nothing"]
        raise DDBenchError(f"the contract could not be run: {collector.broken or lines[-1]}")


class _Collector:
    """A plug-in of pytest that turns reports into outcomes."""

    def __init__(self, show: Callable[[Outcome], None]) -> None:
        self.outcomes: list[Outcome] = []
        self.broken = ""
        self._show = show
        self._output = sys.stdout  # before it is redirected
        self._meanings: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken = _first_line(report)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            docstring = getattr(getattr(item, "function", None), "__doc__", None) or ""
            self._meanings[item.nodeid] = docstring.strip().split("\n", 1)[0].rstrip(".")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        reason = _first_line(report)
        if reason.startswith(("assert ", "DID NOT RAISE")):  # without words: the rule's own say more
            reason = f"expected: {self._meanings[report.nodeid]}"
        rule = report.nodeid.rpartition("::test_")[2].replace("_", " ")
        rule, bracket, case = rule.partition("[")
        rule = f"{rule} ({case[:-1]})" if bracket else rule
        outcome = Outcome(rule, True) if report.passed else Outcome(rule, False, reason, report.longreprtext)
        self.outcomes.append(outcome)
        with redirect_stdout(self._output):
            self._show(outcome)


def _first_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the first line of what went wrong; empty where nothing did."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    first = text.strip().split("\n", 1)[0]
    return first.removeprefix("AssertionError: ").removeprefix("Failed: ")
