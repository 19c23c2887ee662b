"""The loggers of a run: opened before it, given what it logs and what came out, closed after it whatever happens.

A logger that fails is told of in one warning and left alone from then on: it ends no run and changes no number.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import tidy
from ddbench.images import DatasetInfo
from ddbench.logger import LOGGERS, LoggedRun, Logger, State
from ddbench.runs.logged_values import Outcome, as_number, flat_settings, is_images, picture_of, picture_of_set
from ddbench.runs.results_store import LOGS_FOLDER

if TYPE_CHECKING:
    from ddbench.runs.distill import RunOptions

T = TypeVar("T")

NOT_CLOSED = "could not be closed"
LONGEST_TEXT = 10_000  # characters of a value that is no number
_PLACED = re.compile(r"(?P<series>.*)\[(?P<place>[^\[\]]*)\]", re.DOTALL)  # `loss[100]`
_STEP = re.compile("[0-9]{1,18}")


class RunLog:
    """The loggers that are open for one run.

    Args:
        names: registered loggers.
        folder: where they write, each in a folder of its name.
        title: of the run.
        settings: of the run, JSON-able.
        every: of the values of one name keep every so manieth, the first one included.

    Attributes:
        noted: for `Result.engine`: seconds and peaks of the run hold what its loggers took.
    """

    def __init__(
        self, names: tuple[str, ...], folder: Path, title: str, settings: Mapping[str, Any], every: int = 1
    ) -> None:
        self.noted = {"loggers": ", ".join(names)}
        self._every = every
        self._counts: dict[str, int] = {}
        self._open: dict[str, Logger] = {}
        for name in names:
            run = LoggedRun(title, folder / name, flat_settings(settings))
            self._attempt(name, "could not be opened", partial(self._open_logger, name, run))

    def log(self, name: str, value: object, info: DatasetInfo | None = None) -> None:
        """Keep a value: images (`is_images`; float ones are normalised as `info` says), a number, or else a text.

        Its step stands in brackets at the name's end; where that is no whole number, values of the name are counted.
        """
        found = _PLACED.fullmatch(name)
        series = found["series"] if found else name
        count = self._counts.get(series, 0)
        self._counts[series] = count + 1
        if self._open and count % self._every == 0:
            step = int(found["place"]) if found and _STEP.fullmatch(found["place"]) else count
            self._keep(name, lambda: _keeper(series, value, step, info))

    def log_set(self, distilled: DistilledDataset, info: DatasetInfo) -> None:
        """Keep a picture of a set."""
        if self._open and not distilled.is_streamed:
            self._keep("distilled", lambda: partial(_image, "distilled", picture_of_set(distilled, info), 0))

    def finish(self, outcome: Outcome) -> None:
        """Keep what came out."""
        self._each("failed", lambda logger: logger.summary(outcome.values))
        if outcome.reason:
            self._each("failed", lambda logger: logger.text("result/reason", outcome.reason, 0))

    def close(self, state: State) -> None:
        """Close every logger that is open."""
        self._each(NOT_CLOSED, lambda logger: logger.close(state))
        self._open.clear()

    def _open_logger(self, name: str, run: LoggedRun) -> None:
        self._open[name] = LOGGERS.get(name)(run)

    def _keep(self, name: str, make: Callable[[], Callable[[Logger], None]]) -> None:
        """Make what is kept, and give it to each logger; what cannot be made is told of and left out."""
        try:
            give = make()
        except Exception as error:
            warnings.warn(tidy(f"{name} is not logged: {type(error).__name__}: {error}"), stacklevel=4)
        else:
            self._each("failed", give)

    def _each(self, how: str, give: Callable[[Logger], None]) -> None:
        for name, logger in list(self._open.items()):
            self._attempt(name, how, partial(give, logger))

    def _attempt(self, name: str, how: str, do: Callable[[], None]) -> None:
        try:
            do()
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(tidy(f"logger {name} {how}, the run continues without it: {reason}"), stacklevel=5)
            failed = self._open.pop(name, None)
            if failed is not None and how != NOT_CLOSED:
                with suppress(Exception, SystemExit):  # what it holds is let go of, if it can be
                    failed.close("failed")


def _keeper(series: str, value: object, step: int, info: DatasetInfo | None) -> Callable[[Logger], None]:
    """Return a function that gives a logger a value as what it is."""
    if is_images(value):
        return partial(_image, series, picture_of(value, info), step)  # type: ignore[arg-type]
    number = as_number(value)
    if number is not None:
        return lambda logger: logger.scalar(series, number, step)
    text = str(value)[:LONGEST_TEXT]
    return lambda logger: logger.text(series, text, step)


def _image(series: str, picture: Any, step: int, logger: Logger) -> None:  # noqa: ANN401 - a NumPy array
    logger.image(series, picture, step)


def with_loggers(
    options: RunOptions,
    describe: Callable[[], tuple[str, Mapping[str, Any]]],
    work: Callable[[RunOptions], T],
    outcome_of: Callable[[T], Outcome],
) -> T:
    """Return what `work` makes, with the loggers that the options name open while it works.

    Without any, and inside a run whose loggers are open, that is all that is done.

    Args:
        options: of the run; `work` is given them with the open loggers.
        describe: returns title and settings of the run.
        work: of the run.
        outcome_of: returns what the loggers keep of what was made.
    """
    if not options.loggers or options.run_log is not None:
        return work(options)
    folder = Path(LOGS_FOLDER) if options.log_dir is None else options.log_dir
    run_log = RunLog(options.loggers, folder, *describe(), every=options.log_every)
    state: State = "killed"
    try:
        made = work(replace(options, run_log=run_log))
        outcome = outcome_of(made)
        run_log.finish(outcome)
        state = "failed" if outcome.reason else "finished"
        return made
    except Exception:
        state = "failed"
        raise
    finally:
        run_log.close(state)
