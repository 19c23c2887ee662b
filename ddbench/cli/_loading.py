"""A line on the terminal while large packages are imported, the first sign of life of many commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

SLOW = ("torch", "pandas")  # seconds, and half of one
ERASE = "\r\x1b[K"


class SlowImports(MetaPathFinder):
    """Finds what is slow to import as Python does, and says `loading` while it is; once for each."""

    def __init__(self) -> None:
        self._left = set(SLOW)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a slow package is found; None, for others to find, for anything else."""
        if fullname not in self._left:
            return None
        self._left.remove(fullname)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def told(module: ModuleType) -> None:
                with saying_loading():
                    run(module)

            spec.loader.exec_module = told  # type: ignore[method-assign]
        return spec


def say_slow_imports() -> None:
    """Let imports that take long be said, where the error stream is a terminal."""
    with suppress(ValueError):  # it is closed
        if sys.stderr.isatty() and not any(isinstance(finder, SlowImports) for finder in sys.meta_path):
            sys.meta_path.insert(0, SlowImports())


@contextmanager
def saying_loading() -> Iterator[None]:
    """Show a line on the error stream while the block runs, and take it away."""
    with suppress(OSError):
        print("loading ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        with suppress(OSError):
            print(ERASE, end="", file=sys.stderr, flush=True)
