r"""The logger interface: a tracker, such as TensorBoard, that what a run logs goes to while it runs.

A logger is one file with one class, registered under the file's name; a package of one's own names the class in the
entry-point group `ddbench.loggers`. This is all of one that writes lines:

```python
from ddbench.plugin import LOGGERS, LoggedRun, Logger

@LOGGERS.register("lines")
class Lines(Logger):
    def __init__(self, run: LoggedRun) -> None:
        self._file = (run.own_folder() / "lines.txt").open("w", encoding="utf-8")

    def scalar(self, name, value, step):
        self._file.write(f"{name} {step} {value!r}\n")

    def text(self, name, value, step):
        self._file.write(f"{name} {step} {value!r}\n")

    def image(self, name, picture, step):
        pass

    def close(self, state):
        self._file.close()
```

Opened in the process that does the work, once for a run and before its clocks start. An error that it raises is told
once, in a warning, and the run goes on without it. It draws no random numbers from anybody's generators and prints
nothing; the module of the tracker is imported when a logger is opened (`Logger.tracker`), not with its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddbench.errors import BadInputError
from ddbench.registry import LOGGERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LOGGERS", "LoggedRun", "Logger", "State", "check_loggers"]

# How a run ended: with what it was to make, without it, or interrupted.
State = Literal["finished", "failed", "killed"]


@dataclass(frozen=True)
class LoggedRun:
    """What a logger is told of a run when it is opened.

    Attributes:
        name: says what runs, in characters that fit a file's name: `dm-digits-ipc10-seed0-1a2b3c4d`. A run that is done
            again has the name that it had.
        folder: where this logger keeps the runs of a results folder, those of other processes too; it may not be there.
        settings: method, data set, seeds and the like, by name; those of the method as `config.NAME`.
    """

    name: str
    folder: Path
    settings: Mapping[str, str | int | float] = field(default_factory=dict)

    def own_folder(self) -> Path:
        """Make and return a new folder of this run's own in `folder`: `NAME`, or `NAME-2` where that is taken."""
        folder, attempt = self.folder / self.name, 1
        while True:
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
            attempt += 1
            folder = self.folder / f"{self.name}-{attempt}"


class Logger(ABC):
    """A tracker of runs: making one opens it for a run.

    Attributes:
        package: module of the tracker, empty where it needs none.
        install: what `pip install` brings it with, such as `ddbench[tensorboard]`.
    """

    package: ClassVar[str] = ""
    install: ClassVar[str] = ""

    @abstractmethod
    def __init__(self, run: LoggedRun) -> None:
        """Open the tracker for a run."""

    @classmethod
    def check(cls) -> None:
        """Raise BadInputError where the tracker is not installed, without importing it."""
        if cls.package and find_spec(cls.package) is None:
            raise cls._missing()

    @classmethod
    def tracker(cls) -> Any:  # noqa: ANN401 - a module
        """Return the tracker's module, imported now; raises BadInputError where it is not installed."""
        try:
            return import_module(cls.package)
        except ModuleNotFoundError as error:
            raise cls._missing() from error

    @classmethod
    def _missing(cls) -> BadInputError:
        hint = f"pip install '{cls.install or cls.package}'"
        return BadInputError(f"this logger needs {cls.package}, which is not installed: {hint}")

    @abstractmethod
    def scalar(self, name: str, value: float, step: int) -> None:
        """Keep a number, which may be infinite or NaN; steps of a name begin anywhere and mostly rise."""

    @abstractmethod
    def text(self, name: str, value: str, step: int) -> None:
        """Keep a text of any characters."""

    @abstractmethod
    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Keep a picture, (H, W, 3) uint8; several images are shown in a grid already."""

    def summary(self, values: Mapping[str, float]) -> None:
        """Keep what came out at the end, such as `result/test_accuracy`; as scalars of step 0 where not overridden."""
        for name, value in values.items():
            self.scalar(name, value, 0)

    @abstractmethod
    def close(self, state: State) -> None:
        """Write what is left to be written and end; called once, also after an error or an interrupt."""


def check_loggers(names: tuple[str, ...]) -> None:
    """Look at loggers before any work.

    Raises:
        UnknownNameError: no such logger.
        BadInputError: its tracker is not installed.
    """
    for name in names:
        LOGGERS.get(name).check()
