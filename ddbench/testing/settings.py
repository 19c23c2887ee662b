"""Other values for a method's settings, so that contracts can ask what depends on which of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ddbench.errors import DDBenchError
from ddbench.images import LabeledImages
from ddbench.method import Method, make_method


def changed_settings(
    name: str, settings: Mapping[str, Any], train: LabeledImages, ipc: int, wanted: set[str]
) -> dict[str, Any]:
    """Return settings in which as many of the `wanted` ones as go together have another value than in `settings`.

    Args:
        name: of the method.
        settings: to start from, and to keep in everything else.
        train: data that the method must still support.
        ipc: images per class, likewise.
        wanted: names of settings; texts that are no choice among several keep their value.
    """
    changed = dict(settings)
    for key in sorted(wanted):
        for value in other_values(make_method(name, changed), key):
            if _is_possible(name, {**changed, key: value}, train, ipc):
                changed[key] = value
                break
    return changed


def other_values(method: Method, key: str) -> Iterator[Any]:
    """Yield values of a setting's type that differ from its own, such as may be possible, the likeliest first."""
    value = getattr(method.config, key)
    hint = get_type_hints(type(method.config), include_extras=True)[key]
    for kind in _alternatives(hint):
        if get_origin(kind) is Literal:
            yield from (choice for choice in get_args(kind) if choice != value)
        elif kind is bool:
            yield not value
        elif kind is int:
            yield from (number for number in _numbers(value or 0) if number != value)
        elif kind is float:
            base = value if isinstance(value, float) and value else 0.5
            yield from (number for number in (base * 1.5, base / 2, base + 1) if math.isfinite(number))


def setting_names(method: Method) -> set[str]:
    """Return the names of a method's settings."""
    return {field.name for field in fields(method.config)}


def _numbers(value: int) -> tuple[int, ...]:
    return value + 1, value * 2, value - 1, value // 2, value + 4


def _alternatives(hint: Any) -> Iterator[Any]:  # noqa: ANN401 - a type in any spelling
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _alternatives(part)
    else:
        yield hint


def _is_possible(name: str, settings: Mapping[str, Any], train: LabeledImages, ipc: int) -> bool:
    try:
        return make_method(name, dict(settings)).unsupported(train, ipc) is None
    except DDBenchError:
        return False
