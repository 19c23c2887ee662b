"""What claims are judged against: results, and the runs that pytest-benchmark saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ddbench.claims.kinds import ClaimedEntry
from ddbench.errors import BadInputError
from ddbench.inputs.documents import read_json
from ddbench.inputs.paths import as_path
from ddbench.inputs.problems import explain
from ddbench.records import Result
from ddbench.runs.results_store import OnProblem, read_results, result_files


@dataclass(frozen=True)
class SavedBenchmark:
    """One test of one run that pytest-benchmark saved: `tests/...py::test_...` and what the test noted."""

    name: str
    noted: dict[str, Any]


class _SavedTest(BaseModel):
    """What is read of one test in a file of pytest-benchmark."""

    fullname: str
    extra_info: dict[str, Any]


class _SavedRun(BaseModel):
    """What is read of a file of pytest-benchmark."""

    benchmarks: list[_SavedTest]


@dataclass(frozen=True)
class Sources:
    """Results, and benchmarks of saved runs."""

    results: tuple[Result, ...] = ()
    benchmarks: tuple[SavedBenchmark, ...] = ()

    def results_of(self, entries: Iterable[ClaimedEntry]) -> Sequence[Result]:
        """Return the results of the methods, data sets, IPCs and networks of entries, which are few of all results."""
        places = dict.fromkeys((entry.method, entry.dataset, entry.budget, entry.network) for entry in entries)
        return [result for place in places for result in self._by_place.get(place, ())]

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, int | None, str], list[Result]]:
        found: dict[tuple[str, str, int | None, str], list[Result]] = defaultdict(list)
        for result in self.results:
            found[result.method, result.dataset, result.ipc, result.network].append(result)
        return found


def read_sources(paths: Iterable[Path | str], on_problem: OnProblem | None = None) -> Sources:
    """Return what stands in results folders, `.jsonl` files, saved benchmark runs (`.json`), or folders of those.

    Args:
        paths: where to read.
        on_problem: as of `read_results`.

    Raises:
        BadInputError: a source that holds nothing, or a damaged file.
    """
    results: list[Result] = []
    benchmarks: list[SavedBenchmark] = []
    for source in (as_path(path, "results") for path in paths):
        saved = _saved_runs(source)
        benchmarks += (benchmark for path in saved for benchmark in _read_saved(path))
        if not saved or any(source.rglob("*.jsonl")):
            results += read_results([source], on_problem)
    return Sources(tuple(results), tuple(benchmarks))


def _saved_runs(source: Path) -> list[Path]:
    """Return the `.json` files of a folder of recorded runs, or the one given; a results folder or cell has none."""
    if source.is_file():
        return [source] if source.suffix == ".json" else []
    return [] if result_files(source) else sorted(source.rglob("*.json"))


def _read_saved(path: Path) -> list[SavedBenchmark]:
    content = read_json(path, "saved benchmark run")
    try:
        run = _SavedRun.model_validate(content)
    except ValidationError as error:
        raise BadInputError(
            f"{path} is not a run saved by pytest-benchmark: {explain(error)}; save it again"
        ) from error
    return [SavedBenchmark(entry.fullname, entry.extra_info) for entry in run.benchmarks]
