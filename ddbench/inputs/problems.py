"""What pydantic finds wrong with content, in a few words of ours; its own pages never reach a person."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ddbench.registry import suggest


def explain(
    error: ValidationError, known: Mapping[str, Collection[str]] | Collection[str] = (), unnamed: Collection[str] = ()
) -> str:
    """Return the first problem: the field, what it should be and what came; how many more there are.

    Args:
        error: of pydantic.
        known: keys that may stand in the content, for a suggestion where one is unknown; or such keys by the name of
            the field that they stand in, those of the content itself under "".
        unnamed: parts of a place that stand in no content, such as the tag by which pydantic chose among models.
    """
    problems = error.errors(include_url=False, include_context=False)
    # A misspelt key is missing too; the misspelling is the one to name.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{_explain_one(first, known, unnamed)}{more}"


def _explain_one(
    problem: ErrorDetails, known: Mapping[str, Collection[str]] | Collection[str], unnamed: Collection[str]
) -> str:
    place = [str(part) for part in problem["loc"] if part not in unnamed]
    where = ".".join(place)
    if problem["type"] == "extra_forbidden":
        names = known.get(place[0] if len(place) > 1 else "", ()) if isinstance(known, Mapping) else known
        return f"unknown key {where!r}" + (f"; {suggest(place[-1], names)}" if names else "")
    if problem["type"] == "missing":
        return f"key {where!r} is missing"
    words = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = re.sub(r" or instance of \w+$", "", words.removeprefix("Input "))
    came = "" if problem["type"] in ("value_error", "assertion_error") else f", got {_shown(problem['input'])}"
    return f"{where or 'the content'}: {words}{came}"


def _shown(value: object) -> str:
    """Return a value in few characters; of what holds others, only what it is."""
    if isinstance(value, dict):
        return f"a table of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a very large number"
    return text if len(text) <= 80 else f"{text[:60]}...{text[-17:]}"
