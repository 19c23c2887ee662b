"""Weights & Biases: writes offline files for `wandb sync`, or to the server this machine is logged in to.

What goes to a server is for the user to say: $WANDB_MODE, else `wandb login` or $WANDB_API_KEY; without any of them
nothing is sent and nothing is asked. $WANDB_PROJECT names the project, `ddbench` where it is not set.
"""

from __future__ import annotations

import os
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ddbench.plugin import LOGGERS, BadInputError, LoggedRun, Logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ddbench.logger import State

STEP = "step"
TIMEOUT = 60  # seconds that a server which is gone may hold up a run
CREDENTIALS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
EXIT_CODES = {"finished": 0, "failed": 1, "killed": 255}


@LOGGERS.register("wandb")
class WandbLogger(Logger):
    """A run of its own beside any other that the process has open."""

    package, install = "wandb", "ddbench[wandb]"

    def __init__(self, run: LoggedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read at the import; its own faults go to a server
        self._wandb = self.tracker()
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ddbench"),
            name=run.name,
            dir=str(run.own_folder()),
            config=dict(run.settings),
            mode=_mode(self._wandb.setup().settings.base_url),
            reinit="create_new",
            settings=self._wandb.Settings(
                console="off",  # else everything printed is caught
                silent=True,
                init_timeout=TIMEOUT,
                finish_timeout=TIMEOUT,
                disable_code=True,
                disable_git=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
            ),
        )
        # Its own steps may not fall, and those of a run that prepares and then distils do.
        self._run.define_metric("*", step_metric=STEP)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Log a number beside its step."""
        self._run.log({name: value, STEP: step})

    def text(self, name: str, value: str, step: int) -> None:
        """Log a text beside its step."""
        self._run.log({name: value, STEP: step})

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Log a PNG beside its step."""
        self._run.log({name: self._wandb.Image(picture), STEP: step})

    def summary(self, values: Mapping[str, float]) -> None:
        """Put the values into the run's summary, which tables of runs show."""
        self._run.summary.update(dict(values))

    def close(self, state: State) -> None:
        """End the run; what is online is uploaded first."""
        self._run.finish(exit_code=EXIT_CODES[state])


def _mode(host: str) -> str:
    """Return where a run goes: what $WANDB_MODE says, else online where this machine is logged in to a server.

    Raises:
        BadInputError: online is asked for without a login, for which wandb would ask at the terminal.
    """
    asked = os.environ.get("WANDB_MODE", "")
    is_logged_in = any(os.environ.get(name) for name in CREDENTIALS) or _has_key(host)
    if asked == "online" and not is_logged_in:
        raise BadInputError("WANDB_MODE is online and this machine is not logged in: run `wandb login`, or unset it")
    return asked or ("online" if is_logged_in else "offline")


def _has_key(host: str) -> bool:
    """Return whether `wandb login` has left a key for a server, which is kept in the user's netrc file."""
    places = [os.environ.get("NETRC") or "~/.netrc", "~/_netrc"]
    for place in (Path(name).expanduser() for name in places):
        with suppress(OSError, NetrcParseError):
            if netrc(place).authenticators(urlsplit(host).netloc):
                return True
    return False
