"""What trial runs of several contracts share: a short protocol, and folders of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddbench.host.files import CACHE_DIR_VARIABLE
from ddbench.protocol import Protocol, Schedule

SMOKE_PROTOCOL = Protocol(
    name="smoke",
    version=1,
    network="convnet-d1-w8",
    schedule=Schedule(epochs=2, drop_at=1),
    real_schedule=Schedule(epochs=1, drop_at=1),
)


@contextmanager
def empty_cache(folder: Path) -> Iterator[Path]:
    """Use a fresh cache folder inside `folder` while the block runs."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=folder) as fresh:
        patch.setenv(CACHE_DIR_VARIABLE, fresh)
        yield Path(fresh)


@contextmanager
def own_folders() -> Iterator[Path]:
    """Run the block in an empty working folder, with an empty home and temporary folder, and remove all at the end.

    What a plug-in writes where it happens to be does not end up among the user's files. Yields the folder of the three.
    """
    with tempfile.TemporaryDirectory(prefix="ddbench_check_") as folder, pytest.MonkeyPatch.context() as patch:
        working, home, temporary = (Path(folder) / name for name in ("working", "home", "temporary"))
        for path in (working, home, temporary):
            path.mkdir()
        patch.chdir(working)
        patch.setenv("HOME", str(home))
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        yield Path(folder)


@pytest.fixture(scope="class")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep prepared folders of a contract run out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv(CACHE_DIR_VARIABLE, str(folder))
        yield folder
