"""Results <-> files: one folder per cell, written whole or not at all; merging machines is copying folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from ddbench.distilled import SIDECAR
from ddbench.errors import BadInputError
from ddbench.host.files import is_special, make_folder, staged_folder, write_text
from ddbench.host.leftovers import clear_leftovers, leftovers
from ddbench.records import Result

RESULT_FILE = "result.json"
DISTILLED_FOLDER = "distilled"
LAST_GOOD_FOLDER = "last_good"  # of a distillation that diverged; never evaluated
LOG_FILE = "log.txt"


class Store:
    """The results under one folder: `ROOT/<key>/` holds `result.json`, `distilled/` (or `last_good/`), `log.txt`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Make the folder and clear away what killed runs left; raises BadInputError where it cannot be written."""
        make_folder(self.root)
        clear_leftovers(self.root, spare=lambda folder: (folder / DISTILLED_FOLDER / SIDECAR).is_file())

    def get(self, key: str) -> Result | None:
        """Return the stored result of a cell, or None."""
        path = self.root / key / RESULT_FILE
        return _read_result(path) if path.is_file() else None

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Yield a staging folder that becomes the cell's folder when the block ends without an error.

        A run that is told to end keeps the distilled set it may have made, see `rescue`.
        """
        with staged_folder(self.root / key) as staging:
            try:
                yield staging
            except (KeyboardInterrupt, SystemExit):
                self._put_aside(staging, key)
                raise

    def rescue(self, key: str) -> Path | None:
        """Return the distilled set of a run of this cell that was killed while evaluating it, None where there is none.

        It is put aside, because writing the cell again clears away what killed runs left; see `forget_rescued`.
        """
        rescued = self._rescued(key)
        for leftover in leftovers(self.root / key):
            self._put_aside(leftover, key)
        return rescued if rescued.exists() else None

    def forget_rescued(self, key: str) -> None:
        """Remove the set that was put aside for a cell: its result is there."""
        shutil.rmtree(self._rescued(key), ignore_errors=True)

    def _put_aside(self, staging: Path, key: str) -> None:
        made, rescued = staging / DISTILLED_FOLDER, self._rescued(key)
        if (made / SIDECAR).is_file() and not rescued.exists():
            made.rename(rescued)

    def _rescued(self, key: str) -> Path:
        return self.root / f".rescued-{key}"

    def results(self) -> list[Result]:
        """Return all results, oldest first."""
        return read_results([self.root])

    def distilled_folder(self, result: Result) -> Path | None:
        """Return the folder of a result's distilled set, or None where it has none."""
        folder = self.root / result.key / DISTILLED_FOLDER
        return folder if (folder / SIDECAR).is_file() else None


def write_result(result: Result, folder: Path) -> None:
    """Write `result.json` into a cell's (staging) folder."""
    write_text(folder / RESULT_FILE, result.model_dump_json(indent=1) + "\n")


def read_results(sources: Iterable[Path | str]) -> list[Result]:
    """Return the results of result folders, single cells, `.jsonl` files and folders of those, oldest first.

    Duplicates are kept: tables report them.

    Raises:
        BadInputError: a source without results, or a damaged file, named in the message.
    """
    results: list[Result] = []
    for source in map(Path, sources):
        found = list(_read_source(source))
        if not found:
            raise BadInputError(f"{source} holds no results; name a folder written by `ddbench run` or a .jsonl file")
        results += found
    return sorted(results, key=lambda result: (result.started_at, result.key))


def write_lines(results: Iterable[Result], path: Path) -> None:
    """Write results as JSON lines, one result a line: the form of recorded baselines."""
    if not is_special(path):
        make_folder(path.parent)
    write_text(path, "".join(result.model_dump_json() + "\n" for result in results))


def result_files(folder: Path) -> list[Path]:
    """Return the `result.json` of a cell's folder, or those of a results folder's cells; none of any other folder."""
    own = folder / RESULT_FILE
    return [own] if own.is_file() else sorted(folder.glob(f"*/{RESULT_FILE}"))


def _read_source(source: Path) -> Iterator[Result]:
    if source.is_dir():
        paths = result_files(source)
        # Folders named .tmp-... belong to a run that is being written or was killed.
        yield from (_read_result(path) for path in paths if not path.parent.name.startswith("."))
        if not paths:
            yield from (result for path in sorted(source.rglob("*.jsonl")) for result in _read_source(path))
    elif source.is_file():
        # Not splitlines(): that would also split at characters that may stand inside a JSON string.
        for number, line in enumerate(source.read_bytes().split(b"\n"), 1):
            if line.strip():
                yield _parse(line, f"{source}, line {number}")
    else:
        raise BadInputError(f"{source} does not exist; name a folder written by `ddbench run` or a .jsonl file")


def _read_result(path: Path) -> Result:
    return _parse(path.read_bytes(), str(path))


def _parse(text: bytes, where: str) -> Result:
    try:
        return Result.model_validate(json.loads(text.decode("utf-8")))
    except (ValueError, ValidationError) as error:
        unknown = (
            [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"]
            if isinstance(error, ValidationError)
            else []
        )
        if unknown:
            field = ".".join(map(str, unknown[0]))
            raise BadInputError(
                f"{where} holds {field!r}, which this ddbench does not know: a newer one wrote it; update ddbench"
            ) from error
        reason = " ".join(str(error).split())[:160]
        raise BadInputError(f"{where} is not a ddbench result: {reason}; remove it and run that cell again") from error
