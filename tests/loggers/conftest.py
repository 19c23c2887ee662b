"""A run for each logger, and what all of them must leave as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.loggers._logged import Logged, run_logged


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Logged]:
    """A function that runs the cell, the first time that it is asked for it with these loggers."""
    done: dict[tuple[str, ...], Logged] = {}

    def run(*names: str) -> Logged:
        if names not in done:
            done[names] = run_logged(tmp_path_factory.mktemp("run"), *names)
        return done[names]

    return run
