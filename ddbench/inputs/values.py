"""Numbers, names and other plain values as callers give them: the right kind and range, or one line of error.

A number is taken for what it is: no bool for an integer, no text for a number. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import TypeVar

from ddbench.errors import BadInputError

T = TypeVar("T")

LARGEST_COUNT = 2**31 - 1
MOST_STUDENTS = 10_000  # of one evaluation; more are a slip of the finger
LARGEST_SEED = 2**63 - 1  # what a generator of torch takes


def shown(value: object) -> str:
    """Return what a value is in few characters, for a message: plain values with their type, others by type alone."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, Integral) and abs(int(value)) >= 10**30:
        return "a very large number"
    if isinstance(value, str | bytes | int | float):
        text = repr(value)
        words = {"str": "text", "int": "", "float": ""}
        return f"{words.get(type(value).__name__, type(value).__name__)} {text[:60]}{'...' * (len(text) > 60)}".strip()
    try:
        shape = getattr(value, "shape", None)
    except RuntimeError:  # a nested tensor has none
        shape = None
    return f"{type(value).__name__}{f' of shape {tuple(shape)}' if isinstance(shape, tuple) else ''}"


def as_count(value: object, what: str, least: int = 1, most: int = LARGEST_COUNT) -> int:
    """Return a whole number from `least` to `most`; integers of numpy are taken.

    Raises:
        BadInputError: a bool, a float, text or anything else that is no integer, or one out of range; `what` names it.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BadInputError(f"{what} must be a whole number, got {shown(value)}; give an integer from {least} on")
    number = int(value)
    if number < least:
        raise BadInputError(f"{what} must be at least {least}, got {shown(number)}")
    if number > most:
        raise BadInputError(f"{what} must be at most {most}, got {shown(number)}")
    return number


def as_seed(value: object, what: str = "seed") -> int:
    """Return a seed, a whole number from 0 to 2^63 - 1; raises BadInputError as `as_count`."""
    return as_count(value, what, 0, LARGEST_SEED)


def as_number(value: object, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number from `least` to `most`; integers and numbers of numpy are taken.

    Raises:
        BadInputError: a bool, text, NaN, infinity, anything else that is no number, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadInputError(f"{what} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadInputError(f"{what} must be a finite number, got {shown(value)}")
    if not least <= number <= most:
        span = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise BadInputError(f"{what} must be {span}, got {shown(number)}")
    return number


def as_positive(value: object, what: str) -> float:
    """Return a finite number above zero; raises BadInputError where it is none."""
    try:
        number = 0.0 if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        number = math.inf
    if not 0 < number < math.inf:
        raise BadInputError(f"{what} must be a positive number, got {shown(value)}")
    return number


def as_flag(value: object, what: str) -> bool:
    """Return a truth value; raises BadInputError where it is neither True nor False."""
    if not isinstance(value, bool):
        raise BadInputError(f"{what} must be True or False, got {shown(value)}")
    return value


def as_text(value: object, what: str, *, may_be_empty: bool = False) -> str:
    """Return text that a file can hold.

    Raises:
        BadInputError: no text, empty text where it may not be, or half a character, which no encoding has.
    """
    if not isinstance(value, str):
        raise BadInputError(f"{what} must be text, got {shown(value)}")
    if not value.strip() and not may_be_empty:
        raise BadInputError(f"{what} must not be empty, got {shown(value)}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise BadInputError(f"{what} holds text that is not Unicode: {shown(value)}; enter it again")
    return value


def as_texts(value: object, what: str, *, least: int = 0, distinct: bool = False) -> tuple[str, ...]:
    """Return a list or tuple of texts as a tuple.

    Raises:
        BadInputError: one text alone, anything else than texts, fewer than `least`, or one twice where `distinct`.
    """
    if not isinstance(value, list | tuple):
        raise BadInputError(f"{what} must be a list or tuple of texts, got {shown(value)}")
    if len(value) < least:
        raise BadInputError(f"{what} must hold at least {least}, got {len(value)}")
    texts = tuple(as_text(each, f"each of {what}") for each in value)
    if distinct and len(set(texts)) < len(texts):
        twice = next(each for each in texts if texts.count(each) > 1)
        raise BadInputError(f"{what} must differ from each other, got {shown(twice)} twice; name each once")
    return texts


def as_numbers(
    value: object, what: str, count: int, least: float = -math.inf, most: float = math.inf
) -> tuple[float, ...]:
    """Return `count` finite numbers from `least` to `most` as a tuple; raises BadInputError where they are not."""
    if not isinstance(value, list | tuple) or len(value) != count:
        came = f"{len(value)} of them" if isinstance(value, list | tuple) else shown(value)
        raise BadInputError(f"{what} must be a tuple of {count} numbers, one a channel, got {came}")
    return tuple(as_number(each, f"each of {what}", least, most) for each in value)


def as_mapping(value: object, what: str) -> dict[str, object]:
    """Return a mapping with text for keys as a dictionary; raises BadInputError where it is none."""
    if not isinstance(value, Mapping):
        raise BadInputError(f"{what} must be a dictionary, got {shown(value)}")
    return {as_text(key, f"each key of {what}", may_be_empty=True): entry for key, entry in value.items()}


def as_kind(value: object, kind: type[T], what: str, hint: str) -> T:
    """Return `value` where it is a `kind`; raises BadInputError with `hint`, what to give instead, where it is not."""
    if not isinstance(value, kind):
        raise BadInputError(f"{what} must be a {kind.__name__}, got {shown(value)}; {hint}")
    return value


def as_function(value: object, what: str) -> None:
    """Raise BadInputError where a value cannot be called."""
    if not callable(value):
        raise BadInputError(f"{what} must be a function, got {shown(value)}")


def as_index(value: object) -> int:
    """Return a whole number that stands for a place, counted from the end where it is negative.

    Raises:
        BadInputError: a slice, or something else than a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BadInputError(f"images come one by one, by a whole number, got {shown(value)}; `.images` has them all")
    return int(value)


def as_choice(value: object, choices: Collection[str], what: str) -> None:
    """Raise BadInputError where a value is none of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise BadInputError(f"{what} must be one of {', '.join(map(repr, choices))}, got {_quoted(value)}")


def _quoted(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str) else shown(value)
