"""A run that ends early lets go of every cell that it has begun, whatever goes wrong with one of them."""

from __future__ import annotations

import pytest
import torch

from ddbench.distilled.names import SIDECAR
from ddbench.errors import BadInputError
from ddbench.runner import Runner, RunnerOptions
from ddbench.runs.results_store import DISTILLED_FOLDER
from ddbench.runs.suite_runner import run_suite
from tests.runs.test_suite_runner import CPU, write_suite


class EndsEarly(Runner):
    """Makes every task a set, and is told to end when the set of the first cannot be kept."""

    at_once = 3

    def __init__(self):
        super().__init__(RunnerOptions(torch.device("cpu")))
        self.folders = {}

    def has_room(self, needs):
        return True

    def start(self, task):
        made = task.folder / DISTILLED_FOLDER
        made.mkdir()
        (made / SIDECAR).write_text("{}")
        self.folders[task.name] = task.folder

    def wait(self, seconds):
        name, folder = next(iter(self.folders.items()))
        (folder.parent / f".rescued-{name}").symlink_to(folder.parent / "nowhere")
        raise KeyboardInterrupt


def test_where_the_set_of_one_cell_cannot_be_kept_those_of_the_others_are(tmp_path):
    runner, root = EndsEarly(), tmp_path / "r"
    with pytest.raises(BadInputError, match="cannot write"):
        run_suite(write_suite(tmp_path / "s.yaml", distill_seeds=3), root, CPU, runner=runner)
    assert len(list(root.glob(f".rescued-*/{SIDECAR}"))) == 2
    assert not list(root.glob(".tmp-*"))
    assert not list((root / ".running").iterdir())
