"""Fixtures and the rules by which marked tests are skipped, each with its reason."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from ddbench.dataset import DATA_DIR_VARIABLE, load_dataset
from ddbench.engine.native import find_compiler
from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.method import RunContext

ON_REQUEST = ("slow", "long", "speed", "campaign", "peer")
PEER_PYTHON = "DDBENCH_DD_RANKING_PYTHON"  # interpreter of an environment with DD-Ranking
MOST_PROCESSES = 4  # each takes a second to import what it needs, and 1.5 GB at most

# The same examples in every run: a fresh clone must not fail by luck. `--hypothesis-profile=thorough` draws others.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the campaigns; here, because a folder's own conftest is read too late where none is named."""
    group = parser.getgroup("campaigns", "campaigns of tests/campaigns, which run with `-m campaign`")
    group.addoption("--campaign-seed", type=int, action="append", help="seed of the cases; repeatable (default: 0)")
    group.addoption("--campaign-size", choices=("sample", "full"), default="sample", help="how many cases to try")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in several processes, where pytest-xdist is there and nothing else was asked for.

    With `-n 0`, with paths, markers, a debugger or output that is not captured, tests run in this process.
    """
    if hasattr(config, "workerinput"):  # one of those processes
        return
    asked = config.option
    is_whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not (asked.markexpr or asked.keyword)
    if is_whole and getattr(asked, "numprocesses", 0) is None and asked.capture != "no" and not asked.usepdb:
        asked.numprocesses = min(MOST_PROCESSES, os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Use one thread, here and in child processes: tests are tiny, and threads that wait for each other are slow.

    Benchmarks keep all threads: they measure what users get.
    """
    if not _is_asked_for("speed", config):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for with -m, and what this machine cannot run."""
    for item in items:
        for marker in ON_REQUEST:
            if item.get_closest_marker(marker) and not _is_asked_for(marker, config):
                item.add_marker(pytest.mark.skip(reason=f"{marker}: runs with `-m {marker}`"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="gpu: this machine has no CUDA device"))
        if item.get_closest_marker("compiler") and find_compiler() is None:
            item.add_marker(pytest.mark.skip(reason="compiler: this machine has no C++ compiler"))
        if item.get_closest_marker("installed") and not _is_installed():
            item.add_marker(pytest.mark.skip(reason="installed: ddbench is not installed, only its tree is there"))
        if item.get_closest_marker("peer") and not os.environ.get(PEER_PYTHON):
            item.add_marker(pytest.mark.skip(reason=f"peer: set {PEER_PYTHON} to a Python that has ddranking"))
        if item.get_closest_marker("data") and not os.environ.get(DATA_DIR_VARIABLE):
            item.add_marker(pytest.mark.skip(reason=f"data: set {DATA_DIR_VARIABLE} to a folder of data sets"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Keep the tests of a file in one process with `-n`: they share what is slow to make."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.option.dist == "load" else None


def _is_asked_for(marker: str, config: pytest.Config) -> bool:
    return re.search(rf"(?<!not )\b{marker}\b", config.option.markexpr) is not None


def _is_installed() -> bool:
    try:
        version("ddbench")
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draws from torch's global generator are the same in every order of the tests."""
    torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def digits() -> LabeledImages:
    """The training split of the 8x8 digits."""
    return load_dataset("digits").train


@pytest.fixture
def toy() -> LabeledImages:
    """Three classes of 9, 7 and 11 colour images of 8 px, in mixed order."""
    draws = torch.Generator().manual_seed(11)
    labels = torch.tensor([0] * 9 + [1] * 7 + [2] * 11)[torch.randperm(27, generator=draws)]
    images = torch.randint(256, (27, 3, 8, 8), dtype=torch.uint8, generator=draws)
    info = DatasetInfo("toy", ("a", "b", "c"), 3, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "toy")
    return LabeledImages(images, labels, info)


@pytest.fixture
def context(tmp_path: Path, generator: torch.Generator) -> RunContext:
    """A context on the CPU, with its own generator and scratch folder."""
    return RunContext(torch.device("cpu"), generator, tmp_path)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """A function that encodes (H, W) or (H, W, 3) uint8 pixels; lossless for PNG and WebP."""

    def make(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        image = image.convert(mode) if mode else image
        image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def write_image(encode: Callable[..., bytes]) -> Callable[..., Path]:
    """A function that writes an image of one colour, (width, height) pixels."""

    def write(path: Path, colour: int | tuple[int, int, int] = 0, size: tuple[int, int] = (8, 8)) -> Path:
        shape = (size[1], size[0]) if isinstance(colour, int) else (size[1], size[0], 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full(shape, colour, dtype=np.uint8)))
        return path

    return write


@pytest.fixture
def random_pixels() -> Callable[..., np.ndarray]:
    """A function that draws uint8 pixels of a shape, the same in every run."""
    generator = np.random.default_rng(0)
    return lambda *shape: generator.integers(0, 256, shape, dtype=np.uint8)
