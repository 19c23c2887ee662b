"""Results <-> files: one folder per cell, written whole or not at all; merging machines is copying folders.

Each is written with a digest of its content and read with a comparison: one that was changed since, or stands in the
folder of another cell, is marked and counts in no claim; one that cannot be read is named, and the others go on.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ddbench.distilled.names import SIDECAR, TENSORS
from ddbench.errors import BadInputError
from ddbench.host.clock import Pace, Stopwatch
from ddbench.host.collection import collection_paused
from ddbench.host.files import digest_of, is_special, make_folder, staged_folder, write_text
from ddbench.host.leftovers import all_leftovers, clear_leftovers, staging_path
from ddbench.inputs.documents import LARGEST, decode, parse_json, read_bytes
from ddbench.inputs.paths import as_path, explain_os_error
from ddbench.inputs.problems import explain
from ddbench.records import Result, Standing

RESULT_FILE = "result.json"
DISTILLED_FOLDER = "distilled"
LAST_GOOD_FOLDER = "last_good"  # of a distillation that diverged; never evaluated
LOG_FILE = "log.txt"
LOGS_FOLDER = "logs"  # of a results folder: what loggers write, in whatever form is theirs
KEY = re.compile(r"[0-9a-f]{16}")  # the name of a cell's folder, its key
SHOWN_MARKED = "tables show it marked, and it counts in no claim"

# What a set follows from.
SET_FIELDS = ("method", "config", "ipc", "distill_seed", "share_prepare", "dataset", "dataset_fingerprint")

LOOKS_APART = 20  # times what it takes to look for what killed runs have left in a results folder

OnProblem = Callable[[str], None]


class Store:
    """The results under one folder: `ROOT/<key>/` holds `result.json`, `distilled/` (or `last_good/`), `log.txt`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._sets: dict[str, list[str]] | None = None  # keys of cells by the origin of their set
        self._left: dict[str, list[Path]] | None = None  # by killed runs, by the keys of their cells
        self._next_look = Pace(0.0)

    def prepare(self) -> None:
        """Make the folder and clear away what killed runs left; raises BadInputError where it cannot be written."""
        make_folder(self.root)
        clear_leftovers(self.root, spare=lambda folder: (folder / DISTILLED_FOLDER / SIDECAR).is_file())
        for key, left in all_leftovers(self.root).items():
            if (self.root / key / RESULT_FILE).exists():  # done since, by another run
                for folder in left:
                    shutil.rmtree(folder, ignore_errors=True)

    def get(self, key: str) -> Result | None:
        """Return the stored result of a cell; None, with a warning, for one that is damaged, altered or another's."""
        path = self.root / key / RESULT_FILE
        if not path.exists():
            return None
        problems: list[str] = []
        try:
            result = _read_result(path, problems.append, key)
        except BadInputError as error:
            problems.append(str(error))
        if not problems:
            return result
        left = f"a run sets its folder aside as {self._aside(key).name}"
        warnings.warn(f"{problems[0]}; its cell does not count as done, {left}", stacklevel=2)
        return None

    def set_aside(self, key: str) -> Path | None:
        """Rename the folder of a result that cannot be used, so that the cell can be run again; None without one."""
        folder, aside = self.root / key, self._aside(key)
        if not (folder / RESULT_FILE).exists():
            return None
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        return aside

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Yield a staging folder that becomes the cell's folder when the block ends without an error.

        A run that ends in the block keeps the distilled set it may have made, see `rescue`.
        """
        self._take_over(staging_path(self.root / key), key)  # of a killed process of this number
        with staged_folder(self.root / key, sweeps=False) as staging:
            try:
                yield staging
            except BaseException:
                self._put_aside(staging, key)
                raise

    def add(self, result: Result) -> None:
        """Write a result into the folder of its cell; the set and the log that a run has left there stay."""
        folder = self.root / result.key
        with self.writing(result.key) as staging:
            for name in (DISTILLED_FOLDER, LOG_FILE):
                if (folder / name).is_dir():
                    shutil.copytree(folder / name, staging / name)
                elif (folder / name).is_file():
                    shutil.copy2(folder / name, staging / name)
            write_result(result, staging)

    def rescue(self, key: str) -> Path | None:
        """Return the distilled set of a run of this cell that was killed while evaluating it, None where there is none.

        The same goes for the set of a result that was set aside. Whether it can be used is for the caller to see.

        It is put aside, and what else killed runs left of the cell is removed; see `forget_rescued`.
        """
        rescued = self._rescued(key)
        if self._left is None or self._next_look.is_due():  # a run beside this one may have been killed
            watch = Stopwatch()
            self._left = all_leftovers(self.root)
            self._next_look = Pace(LOOKS_APART * watch.seconds)  # all names are read, of many cells
        for leftover in self._left.pop(key, ()):
            self._take_over(leftover, key)
        found = (rescued, self._aside(key) / DISTILLED_FOLDER)
        return next((folder for folder in found if folder.exists()), None)

    def find_set(self, of: Mapping[str, Any]) -> Path | None:
        """Return the distilled set of a finished result that has these `SET_FIELDS`, of those at the first call."""
        if self._sets is None:
            self._sets = {}
            for path in result_files(self.root):
                if (path.parent / DISTILLED_FOLDER / SIDECAR).is_file() and (origin := _origin_of(path)):
                    self._sets.setdefault(origin, []).append(path.parent.name)
        for key in self._sets.get(digest_of(dict(of)), ()):
            with warnings.catch_warnings(action="ignore"):  # what is damaged is told where its own cell is read
                result = self.get(key)
            if result is not None and result.status == "ok":
                return self.distilled_folder(result)
        return None

    def forget_rescued(self, key: str) -> None:
        """Remove the set that was put aside for a cell: its result is there."""
        shutil.rmtree(self._rescued(key), ignore_errors=True)

    def _take_over(self, leftover: Path, key: str) -> None:
        """Remove what a killed run left of a cell, and keep its set."""
        if leftover.exists():
            self._put_aside(leftover, key)
            shutil.rmtree(leftover, ignore_errors=True)

    def _put_aside(self, staging: Path, key: str) -> None:
        made, rescued = staging / DISTILLED_FOLDER, self._rescued(key)
        if (made / SIDECAR).is_file() and not rescued.exists():
            made.rename(rescued)

    def _rescued(self, key: str) -> Path:
        return self.root / f".rescued-{key}"

    def _aside(self, key: str) -> Path:
        return self.root / f".damaged-{key}"

    def results(self) -> list[Result]:
        """Return all results, oldest first."""
        return read_results([self.root])

    def distilled_folder(self, result: Result) -> Path | None:
        """Return the folder of a result's distilled set, or None where it has none."""
        folder = self.root / result.key / DISTILLED_FOLDER
        return folder if (folder / SIDECAR).is_file() else None


def write_result(result: Result, folder: Path) -> None:
    """Write `result.json` into a cell's (staging) folder, with a digest of what it holds now."""
    write_text(folder / RESULT_FILE, _with_digest(result).model_dump_json(indent=1) + "\n")


def read_results(sources: Iterable[Path | str] | Path | str, on_problem: OnProblem | None = None) -> list[Result]:
    """Return the results of result folders, single cells, `.jsonl` files and folders of those, oldest first.

    Duplicates are kept: tables report them. A result whose digest does not fit, or that stands in the folder of another
    cell, comes marked (`Result.standing`).

    Args:
        sources: where to read, one place or several.
        on_problem: is told in one line of every result that is damaged, and left out, or marked; where None, a damaged
            one is an error.

    Raises:
        BadInputError: a source without results, or a damaged file, named in the message.
    """
    results: list[Result] = []
    places = [sources] if isinstance(sources, str | Path) else sources
    for source in (as_path(given, "results") for given in places):
        told: list[str] = []

        def tell(problem: str, told: list[str] = told) -> None:
            told.append(problem)
            if on_problem is not None:
                on_problem(problem)

        with collection_paused():
            found = list(_read_source(source, tell, skips=on_problem is not None))
        if not found and told:
            raise BadInputError(f"no result in {source} can be read; restore it from a copy or run its cells again")
        if not found:
            raise BadInputError(f"{source} holds no results; name a folder written by `ddbench run` or a .jsonl file")
        results += found
    return sorted(results, key=lambda result: (result.started_at, result.key))


def each_line(path: Path) -> Iterator[tuple[int, Result | str]]:
    """Yield the number of every line of a `.jsonl` file with its result, or with what is wrong with the line.

    Raises:
        BadInputError: a file that cannot be read.
    """
    content = read_bytes(path, "results", LARGEST["JSON lines"])
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                yield number, _parse(line, "it", "", _ignore)
            except BadInputError as error:
                yield number, str(error)


def check_apart(out: Path | None, sources: Iterable[Path]) -> None:
    """Raise BadInputError where a file to be written is one of those that results are read from: it would be lost."""
    if out is None or not out.is_file():
        return
    place = out.resolve()
    for source in (given.resolve() for given in sources):
        is_of_cells = place.name in (RESULT_FILE, SIDECAR, TENSORS) and place.is_relative_to(source)
        is_of_lines = place.suffix == ".jsonl" and place.is_relative_to(source) and not result_files(source)
        if place == source or is_of_cells or is_of_lines:
            raise BadInputError(f"{out} is one of the input files and would be overwritten; name another file")


def write_lines(results: Iterable[Result], path: Path) -> None:
    """Write results as JSON lines, one result a line with its digest: the form of recorded baselines."""
    if not is_special(path):
        make_folder(path.parent)
    write_text(path, lines_of(results))


def lines_of(results: Iterable[Result]) -> str:
    """Return results as JSON lines, one result a line with its digest."""
    return "".join(_with_digest(result).model_dump_json() + "\n" for result in results)


def content_digest(content: dict[str, Any]) -> str:
    """Return the digest of a result's content, as JSON has it; of the file and not of the record, which may grow."""
    return digest_of({name: value for name, value in content.items() if name != "digest"})


def result_files(folder: Path) -> list[Path]:
    """Return the `result.json` of a cell's folder, or those of a results folder's cells; none of any other folder."""
    own = folder / RESULT_FILE
    return [own] if own.is_file() else sorted(folder.glob(f"*/{RESULT_FILE}"))


def _with_digest(result: Result) -> Result:
    """Return a result with the digest of its content; what was read without one, or altered, is not made good."""
    if result.standing != "whole":
        return result
    return result.model_copy(update={"digest": content_digest(json.loads(result.model_dump_json()))})


def _read_source(source: Path, tell: OnProblem, *, skips: bool) -> Iterator[Result]:
    """Yield what a source holds; with `skips`, what is damaged is told and not raised."""
    try:
        is_folder, is_there = source.is_dir(), source.exists()
    except OSError as error:
        raise BadInputError(f"results {source} {explain_os_error(error)}") from error
    if not is_there:
        raise BadInputError(f"{source} does not exist; name a folder written by `ddbench run` or a .jsonl file")
    for read in _readers(source, tell) if is_folder else _line_readers(source, tell):
        try:
            yield read()
        except BadInputError as error:
            if not skips:
                raise
            tell(f"left out: {error}")


def _readers(folder: Path, tell: OnProblem) -> Iterator[Callable[[], Result]]:
    """Yield a function for each result of a folder that reads it."""
    paths = result_files(folder)
    # Folders named .tmp-... belong to a run that is being written or was killed.
    yield from (partial(_read_result, path, tell) for path in paths if not path.parent.name.startswith("."))
    if not paths:
        for path in sorted(folder.rglob("*.jsonl")):
            if path.relative_to(folder).parts[0] != LOGS_FOLDER:
                yield from _line_readers(path, tell)


def _line_readers(path: Path, tell: OnProblem) -> Iterator[Callable[[], Result]]:
    try:
        content = read_bytes(path, "results", LARGEST["JSON lines"])
    except BadInputError as error:
        yield partial(_fail, error)
        return
    # Not splitlines(): that would also split at characters that may stand inside a JSON string.
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield partial(_parse, line, f"{path}, line {number}", "", tell)


def _origin_of(path: Path) -> str:
    """Return a digest of the `SET_FIELDS` of a result, empty for one that cannot be read."""
    try:
        content = json.loads(path.read_bytes())
        return digest_of({name: content[name] for name in SET_FIELDS})
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _ignore(problem: str) -> None:
    """Leave it to the standing of the result that comes."""


def _fail(error: BadInputError) -> Result:
    raise error


def _read_result(path: Path, tell: OnProblem, key: str = "") -> Result:
    """Return the result of a file; it must be of the cell `key`, or of the one that its folder is named by."""
    folder = path.absolute().parent.name
    expected = key or (folder if KEY.fullmatch(folder) else "")
    return _parse(read_bytes(path, "result", LARGEST["JSON"]), str(path), expected, tell)


def _parse(text: bytes, where: str, key: str, tell: OnProblem) -> Result:
    """Return a result, marked and told of where it is not as it was written, or of another cell than `key`."""
    try:
        content = parse_json(decode(text, where), where)
        result = Result.model_validate(content)
    except ValidationError as error:
        unknown = [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"]
        if unknown:
            field = ".".join(map(str, unknown[0]))
            raise BadInputError(
                f"{where} holds {field!r}, which this version does not know: a newer one wrote it; update ddbench"
            ) from error
        reason = explain(error)
        raise BadInputError(f"{where} is not a ddbench result: {reason}; remove it and run that cell again") from error
    except BadInputError as error:
        reason = str(error).removeprefix(where).lstrip(", ").partition(";")[0]
        raise BadInputError(f"{where} is not a ddbench result: {reason}; remove it and run that cell again") from error
    accuracy = result.metric("test_accuracy")
    if accuracy is not None and not all(0 <= value <= 1 for value in accuracy.values):
        raise BadInputError(
            f"{where} is not a ddbench result: an accuracy must be a fraction from 0 to 1, got {accuracy.values}; "
            "remove it and run that cell again"
        )
    standing: Standing = "whole" if result.digest == content_digest(content) else "altered"
    if not result.digest:
        standing = "older"
    if key and result.key != key and standing != "altered":
        tell(f"{where} is of cell {result.key}, not of the one whose folder it stands in; {SHOWN_MARKED}")
        return result.standing_as("misplaced")
    if standing == "altered":
        tell(f"{where} was altered after it was written: its digest differs; {SHOWN_MARKED}")
    return result.standing_as(standing)
