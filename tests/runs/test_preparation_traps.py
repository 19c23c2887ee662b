"""Two traps in which prepared work once gave a wrong number without a word: a setting nobody declared, edited code."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from ddbench.registry import METHODS
from ddbench.runs.distill import distill

pytestmark = pytest.mark.usefixtures("own_cache")

METHOD = '''
"""Blends of real images whose weights are prepared."""

from dataclasses import dataclass

import torch
from ddbench.method import METHODS, Method
from ddbench.distilled.dataset import DistilledDataset
from PACKAGE._weights import weight


@METHODS.register("NAME")
class Blend(Method):
    @dataclass(frozen=True)
    class Config:
        epochs: int = 1

    def prepare(self, train, ctx):
        (ctx.cache_dir / "weight.txt").write_text(str(weight(self.config.epochs) + 0))
        return ctx.cache_dir

    def distill(self, train, ipc, ctx):
        value = float((ctx.prepared / "weight.txt").read_text())
        chosen = torch.cat([train.of_class(label)[:ipc] for label in range(train.num_classes)])
        return DistilledDataset(train.normalised(chosen) * value, train.labels[chosen], train.num_classes, ipc)
'''
WEIGHTS = "def weight(epochs):\n    return 1 - 0.5**epochs\n"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plug-in package on the path; `make` gives the set of its method with some settings, its files as they are."""
    name = f"edited_{tmp_path.name}"
    folder = tmp_path / "site" / name
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    class Plugin:
        method, weights = METHOD.replace("PACKAGE", name).replace("NAME", name), WEIGHTS

        def make(self, **settings) -> torch.Tensor:
            (folder / "__init__.py").write_text("")
            (folder / "method.py").write_text(self.method)
            (folder / "_weights.py").write_text(self.weights)
            for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
                del sys.modules[loaded]
            METHODS._entries.pop(name, None)
            importlib.invalidate_caches()
            importlib.import_module(f"{name}.method")  # as another process would
            return distill(name, "digits", 1, 0, settings, "cpu").images

    yield Plugin()
    METHODS._entries.pop(name, None)


def test_a_setting_that_nobody_declared_gives_another_set(plugin):
    one, twenty = plugin.make(epochs=1), plugin.make(epochs=20)
    torch.testing.assert_close(twenty, one * (1 - 0.5**20) / 0.5)


def test_an_edited_prepare_is_not_served_from_the_old_folder(plugin):
    before = plugin.make()
    plugin.method = plugin.method.replace("weight(self.config.epochs) + 0", "weight(self.config.epochs) + 1")
    torch.testing.assert_close(plugin.make(), before * 3)


def test_an_edited_module_of_its_own_package_counts_too(plugin):
    before = plugin.make()
    plugin.weights = WEIGHTS.replace("1 - ", "2 - ")
    torch.testing.assert_close(plugin.make(), before * 3)


def test_other_words_leave_the_old_folder_in_use(plugin, own_cache):
    before = plugin.make()
    plugin.method = plugin.method.replace("Blends of real images", "Real images, weighted")
    plugin.weights = f"# A comment.\n{WEIGHTS}"
    assert torch.equal(plugin.make(), before)
    assert len(list(own_cache.glob("prepared/*/kept.json"))) == 1


def test_what_was_edited_while_a_run_goes_on_is_not_taken_for_what_ran(plugin, own_cache, tmp_path):
    before = plugin.make()
    (path,) = (tmp_path / "site").glob("*/method.py")
    path.write_text(plugin.method.replace("+ 0", "+ 1"))  # the process runs the old code still
    name = path.parent.name
    assert torch.equal(distill(name, "digits", 1, 1, {}, "cpu").images, before)
    plugin.method = path.read_text()
    torch.testing.assert_close(plugin.make(), before * 3)
    assert len(list(own_cache.glob("prepared/*/kept.json"))) == 3
