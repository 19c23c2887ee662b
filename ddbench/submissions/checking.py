"""Checks files of results, one a line: each result by itself, then all of a file beside each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddbench.analysis.aggregate import drop_duplicates
from ddbench.errors import BadInputError
from ddbench.records import Result
from ddbench.runs.results_store import each_line
from ddbench.submissions.content import check_content
from ddbench.submissions.data import DataAtHand, check_data, specs_of
from ddbench.submissions.keys import check_key
from ddbench.submissions.problems import Finding, Placed, note


@dataclass(frozen=True)
class Line:
    """A result that could be read, with its place."""

    file: str
    number: int
    result: Result


@dataclass(frozen=True)
class Checked:
    """What a check of some files gave: the results that could be read, problems and notes."""

    lines: tuple[Line, ...]
    problems: tuple[Placed, ...]
    notes: tuple[Placed, ...]


def check_files(paths: Sequence[Path], data_dir: Path | None = None) -> Checked:
    """Check every result of some `.jsonl` files.

    Args:
        paths: of the files.
        data_dir: where real data lies; what is not there is not compared, which a note says.

    Raises:
        BadInputError: a file that cannot be read, or holds no line.
    """
    data = DataAtHand(data_dir)
    lines: list[Line] = []
    found: list[Placed] = []
    for path in paths:
        own, wrong = _check_file(path, data)
        lines += own
        found += wrong
    found += _repeated_elsewhere(lines)
    problems = tuple(each for each in found if each.finding.is_problem)
    return Checked(tuple(lines), problems, tuple(_summarise(each for each in found if not each.finding.is_problem)))


def _check_file(path: Path, data: DataAtHand) -> tuple[list[Line], list[Placed]]:
    lines: list[Line] = []
    found: list[Placed] = []
    is_empty = True
    for number, read in each_line(path):
        is_empty = False
        if isinstance(read, str):
            found.append(Placed(str(path), number, Finding(read)))
            continue
        lines.append(Line(str(path), number, read))
        findings = (
            *check_content(read),
            *check_key(read, specs_of(read.dataset)),
            *check_data(read, data.look_for(read.dataset)),
        )
        found += [Placed(str(path), number, finding) for finding in findings]
    if is_empty:
        raise BadInputError(
            f"{path} holds no results; write some with `ddbench table RESULTS --format jsonl -o FILE.jsonl`"
        )
    return lines, found + _repeated(lines) + _copied(lines)


def _repeated(lines: Sequence[Line]) -> list[Placed]:
    """Return a problem for each result of a file that measures what an earlier line does."""
    numbers = {id(line.result): line for line in lines}
    _, groups = drop_duplicates([line.result for line in lines])
    found = []
    for group in groups:
        first, *others = sorted((numbers[id(result)] for result in group), key=lambda line: line.number)
        words = f"it measures the same cell as line {first.number}, seed {first.result.distill_seed}: one is enough"
        found += [Placed(line.file, line.number, Finding(words)) for line in others]
    return found


def _copied(lines: Sequence[Line]) -> list[Placed]:
    """Return a problem for each result whose measurements, times included, are another's to the last digit."""
    seen: dict[tuple[Any, ...], Line] = {}
    found = []
    for line in lines:
        result = line.result
        if not any(phase.reading.seconds for phase in result.phases if not phase.cached):
            continue
        first = seen.setdefault((result.phases, result.metrics), line)
        if first is not line and (first.result.key, first.result.distill_seed) != (result.key, result.distill_seed):
            words = (
                f"its times and values are those of line {first.number} to the last digit: a copy under another name"
            )
            found.append(Placed(line.file, line.number, Finding(words)))
    return found


def _repeated_elsewhere(lines: Sequence[Line]) -> list[Placed]:
    """Return a note for each file that repeats cells of another: tables show each cell once."""
    first: dict[str, Line] = {}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        earlier = first.setdefault(line.result.key, line)
        if earlier.file != line.file:
            shared[line.file, earlier.file] += 1
    return [
        Placed(file, 0, note(f"{count} of its cells stand in {earlier} too; tables show each once"))
        for (file, earlier), count in shared.items()
    ]


def _summarise(notes: Iterable[Placed]) -> list[Placed]:
    """Return notes with those of the same words in a file as one, which says how many lines it is of."""
    groups: dict[tuple[str, str], list[Placed]] = defaultdict(list)
    for each in notes:
        groups[each.file, each.finding.words].append(each)
    found = []
    for (file, words), of in groups.items():
        more = f" (and {len(of) - 1} more lines)" if len(of) > 1 else ""
        found.append(Placed(file, of[0].line, note(f"{words}{more}")))
    return found
