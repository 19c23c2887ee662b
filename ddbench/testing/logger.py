"""What every logger must keep to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch

from ddbench.logger import LoggedRun, Logger, State
from ddbench.registry import LOGGERS

SETTINGS: dict[str, str | int | float] = {
    "method": "trial",
    "ipc": 10,
    "config.lr": 0.1,
    "config.flips": True,
    "config.note": "a, b",
}
STATES: tuple[State, ...] = get_args(State)
# What would send anything away from this machine, or write elsewhere, is the user's to set.
ELSEWHERE = ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR")


class LoggerContract:
    """What a run relies on in a logger. Set `name`."""

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
        """An empty working folder, and the folder of the logger, which all runs of these tests share."""
        folder = tmp_path_factory.mktemp("logger")
        for name in ("working", "home"):
            (folder / name).mkdir()
        return folder / "working", folder / "logs" / cls.name

    def test_it_is_a_logger_that_says_what_it_is(self) -> None:
        """Registered under its name, a class of Logger with a docstring."""
        found = LOGGERS.get(self.name)
        assert isinstance(found, type), f"{self.name} must be a class, is {found!r}"
        assert issubclass(found, Logger), f"{self.name} must be a Logger, is {found!r}"
        assert LOGGERS.summary(self.name), "its file has no docstring for `ddbench list loggers`"
        found.check()

    @pytest.mark.parametrize("state", STATES)
    def test_it_takes_every_kind_of_value_however_the_run_ends(self, places: tuple[Path, Path], state: State) -> None:
        """Steps may fall, values be infinite, names hold any character; files are written into its folder alone."""
        working, logs = places
        self._log(places, f"run-{state}", state)
        assert any(path.is_file() for path in logs.rglob("*")), "nothing was written"
        left = sorted(path.name for path in working.iterdir())
        assert not left, f"files were left in the working folder: {', '.join(left)}"

    def test_runs_of_one_name_stay_apart(self, places: tuple[Path, Path]) -> None:
        """A second run of a name, as of a cell that is done again, adds no file to the first one's own folder."""
        _, logs = places
        self._log(places, "twice", "killed")
        first = sorted((logs / "twice").rglob("*"))
        self._log(places, "twice", "finished")
        assert sorted((logs / "twice").rglob("*")) == first, "the second run wrote into the folder of the first"

    def test_it_draws_no_random_numbers(self, places: tuple[Path, Path]) -> None:
        """Generators of torch, NumPy and Python stand where they stood: results must not depend on loggers."""
        before = _generators()
        self._log(places, "random", "finished")
        changed = [name for name, state in _generators().items() if state != before[name]]
        assert not changed, f"it drew from the generator of {', '.join(changed)}"

    def test_it_prints_nothing(self, places: tuple[Path, Path], capfd: pytest.CaptureFixture[str]) -> None:
        """Neither on the output nor on the error stream."""
        capfd.readouterr()
        self._log(places, "silent", "finished")
        said = "".join(capfd.readouterr())
        assert not said, f"it printed {said!r}"

    def _log(self, places: tuple[Path, Path], title: str, state: State) -> None:
        """Log something of every kind, with nothing set that would lead elsewhere."""
        working, logs = places
        with pytest.MonkeyPatch.context() as patch:
            for name in ELSEWHERE:
                patch.delenv(name, raising=False)
            patch.setenv("HOME", str(working.with_name("home")))
            patch.chdir(working)
            logger = LOGGERS.get(self.name)(LoggedRun(title, logs, SETTINGS))
            for step, value in ((0, 2.5), (100, float("inf")), (50, float("nan")), (2**40, -1e-30)):
                logger.scalar("training: loss", value, step)
            logger.scalar("held-out accuracy at rate 0.1, hard labels (é)", 0.5, 0)
            logger.text("engine", "eager, *not* compiled\né", 0)
            logger.text("engine", "x" * 10_000, 1)
            logger.image("images", np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3), 7)
            logger.summary({"result/test_accuracy": 0.75, "result/distill/seconds": 1.5})
            logger.close(state)


def _generators() -> dict[str, object]:
    """Return the states of the generators that a whole process shares."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "NumPy": np.random.get_state(legacy=False)["state"]["key"].tolist(),
        "Python": random.getstate(),
    }
