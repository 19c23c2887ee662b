"""What is known of methods' settings without importing them: their defaults, and which were added later.

A method's class says it, and importing that takes seconds, for torch comes with it. What ddbench's own methods say is
therefore kept in the cache folder, by the state of their source files; tables and claims read it from there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ddbench.errors import BadInputError, DDBenchError
from ddbench.host.files import digest_of, find_cache_dir, make_folder, write_text
from ddbench.inputs.documents import read_json
from ddbench.registry import METHODS

PACKAGE = Path(__file__).parents[1]
Settings = dict[str, Any]


def default_settings(method: str) -> Settings | None:
    """Return the defaults of a method's settings, every one, JSON-able; None for a method that is not registered."""
    return _known(method)["defaults"] if method in METHODS.names() else None


def with_added(method: str, config: Mapping[str, Any]) -> Settings:
    """Return a recorded config with the added settings that it leaves out, at their defaults.

    That of a method that is not registered stays as it is.
    """
    return {**_known(method)["added"], **config} if method in METHODS.names() else dict(config)


def _known(method: str) -> dict[str, Settings]:
    own = _kept() if METHODS.is_own(method) and "torch" not in sys.modules else {}
    return own[method] if method in own else _settings_of(method)


@cache
def _settings_of(method: str) -> dict[str, Settings]:
    from ddbench.method import all_settings, make_method, with_added

    return {"defaults": all_settings(make_method(method)), "added": with_added(method, {})}


@cache
def _kept() -> dict[str, dict[str, Settings]]:
    """Return the settings of ddbench's own methods, read where they are kept, else made and kept."""
    place = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]
    path, sources = find_cache_dir() / "settings" / f"{place}.json", _state_of_sources()
    with suppress(BadInputError):
        content = read_json(path, "kept settings of methods")
        if isinstance(content, dict) and content.get("digest") == _digest(sources, content.get("methods")):
            kept: dict[str, dict[str, Settings]] = content["methods"]
            return kept
    methods = {}
    for name in filter(METHODS.is_own, METHODS.names()):
        with suppress(DDBenchError):  # one that cannot be imported is told where it is asked for
            methods[name] = _settings_of(name)
    with suppress(BadInputError, OSError):  # a cache folder that cannot be written makes it slow, not wrong
        make_folder(path.parent)
        write_text(path, json.dumps({"methods": methods, "digest": _digest(sources, methods)}, indent=1) + "\n")
    return methods


def _digest(sources: str, methods: object) -> str:
    return digest_of({"sources": sources, "methods": methods})


def _state_of_sources() -> str:
    """Return a digest of the names, sizes and times of ddbench's source files."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
