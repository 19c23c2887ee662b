"""The logger interface: folders of a run's own, trackers that are imported late or not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddbench.errors import BadInputError
from ddbench.logger import LoggedRun
from ddbench.registry import LOGGERS


def test_a_run_done_again_gets_a_folder_beside_the_first(tmp_path):
    run = LoggedRun("a-run", tmp_path / "logs")
    names = [run.own_folder().name for _ in range(3)]
    assert names == ["a-run", "a-run-2", "a-run-3"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_line_with_the_extra(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    logger = LOGGERS.get(name)
    for use in (logger.check, lambda: logger(LoggedRun("a-run", tmp_path))):
        with pytest.raises(BadInputError, match=rf"{name}, which is not installed: pip install 'ddbench\[{name}\]'"):
            use()


@pytest.mark.slow
def test_names_are_checked_without_importing_a_tracker():
    code = """
import sys
from ddbench.runs.distill import RunOptions
RunOptions(loggers=("tensorboard", "wandb", "mlflow"))
print([name for name in ("tensorboard", "wandb", "mlflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
