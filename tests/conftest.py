"""Fixtures and the rules by which marked tests are skipped, each with its reason."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from ddbench.dataset import DATA_DIR_VARIABLE
from ddbench.files import CACHE_DIR_VARIABLE
from ddbench.native_code import find_compiler

ON_REQUEST = ("slow", "speed")


def pytest_configure(config: pytest.Config) -> None:
    """Use one thread, here and in child processes: tests are tiny, and threads that wait for each other are slow.

    Benchmarks keep all threads: they measure what users get.
    """
    if "speed" not in config.option.markexpr:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for with -m, and what this machine cannot run."""
    for item in items:
        for marker in ON_REQUEST:
            if item.get_closest_marker(marker) and marker not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: runs with `-m {marker}`"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="gpu: this machine has no CUDA device"))
        if item.get_closest_marker("compiler") and find_compiler() is None:
            item.add_marker(pytest.mark.skip(reason="compiler: this machine has no C++ compiler"))
        if item.get_closest_marker("installed") and not _is_installed():
            item.add_marker(pytest.mark.skip(reason="installed: ddbench is not installed, only its tree is there"))
        if item.get_closest_marker("data") and not os.environ.get(DATA_DIR_VARIABLE):
            item.add_marker(pytest.mark.skip(reason=f"data: set {DATA_DIR_VARIABLE} to a folder of data sets"))


def _is_installed() -> bool:
    try:
        version("ddbench")
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, for tests marked `data`."""
    return Path(os.environ[DATA_DIR_VARIABLE])


@pytest.fixture
def generator() -> torch.Generator:
    """A CPU generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own for prepared work."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(folder))
    return folder
