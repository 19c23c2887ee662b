"""What pydantic finds wrong with content, in a few words of ours; its own pages never reach a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ddbench.registry import suggest


def explain(error: ValidationError, known: Mapping[str, Collection[str]] | Collection[str] = ()) -> str:
    """Return the first problem: the field, what it should be and what came; how many more there are.

    Args:
        error: of pydantic.
        known: keys that may stand in the content, for a suggestion where one is unknown; or such keys by the name of
            the field that they stand in, those of the content itself under "".
    """
    problems = error.errors(include_url=False, include_context=False)
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    return f"{_explain_one(problems[0], known)}{more}"


def _explain_one(problem: ErrorDetails, known: Mapping[str, Collection[str]] | Collection[str]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        own = str(problem["loc"][0]) if len(problem["loc"]) > 1 else ""
        names = known.get(own, ()) if isinstance(known, Mapping) else known
        return f"unknown key {where!r}" + (f"; {suggest(str(problem['loc'][-1]), names)}" if names else "")
    if problem["type"] == "missing":
        return f"key {where!r} is missing"
    words = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = words[:1].lower() + words[1:] if words.startswith("Input ") else words
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
