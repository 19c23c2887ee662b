"""Lines: what is logged as lines of JSON, a file for each run; pictures by their size alone."""

from __future__ import annotations

import json
from typing import Any

from ddbench.plugin import LoggedRun, Logger


class Lines(Logger):
    """Needs no tracker."""

    def __init__(self, run: LoggedRun) -> None:
        self._file = (run.own_folder() / "log.jsonl").open("w", encoding="utf-8")
        self._write("settings", dict(run.settings), 0)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write a number."""
        self._write(name, value, step)

    def text(self, name: str, value: str, step: int) -> None:
        """Write a text."""
        self._write(name, value, step)

    def image(self, name: str, picture: Any, step: int) -> None:
        """Write height, width and channels."""
        self._write(name, picture.shape, step)

    def close(self, state: str) -> None:
        """Write how the run ended."""
        self._write("state", state, 0)
        self._file.close()

    def _write(self, name: str, value: object, step: int) -> None:
        self._file.write(json.dumps({"name": name, "value": value, "step": step}) + "\n")
