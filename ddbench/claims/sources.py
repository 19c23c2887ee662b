"""What claims are judged against: results, and the runs that pytest-benchmark saved."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddbench.errors import BadInputError
from ddbench.records import Result
from ddbench.runs.results_store import OnProblem, read_results, result_files


@dataclass(frozen=True)
class SavedBenchmark:
    """One test of one run that pytest-benchmark saved: `tests/...py::test_...` and what the test noted."""

    name: str
    noted: dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """Results, and benchmarks of saved runs."""

    results: tuple[Result, ...] = ()
    benchmarks: tuple[SavedBenchmark, ...] = ()


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
    for source in map(Path, paths):
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
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
        return [SavedBenchmark(str(entry["fullname"]), dict(entry["extra_info"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise BadInputError(f"{path} is not a run saved by pytest-benchmark: {reason}; save it again") from error
