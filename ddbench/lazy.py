"""Names that a module offers and other modules hold, each imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def listing(names: Iterable[str]) -> Callable[[], list[str]]:
    """Return the `__dir__` of a module that offers names of others: these, which Tab then completes."""
    return lambda: sorted(names)


def lazy_names(module: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a module that offers names of others.

    Args:
        module: dotted name of the module that offers them.
        homes: by name, the dotted module that holds it.
    """

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return find
