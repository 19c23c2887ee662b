"""Keywords of a call that belong elsewhere, each told where. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ddbench.errors import BadInputError

Homes = dict[str, tuple[Collection[str], str]]


def refuse_misplaced(function: str, given: Mapping[str, object], homes: Homes) -> None:
    """Raise where a call was given keywords that it does not take.

    Args:
        function: its name.
        given: the keywords with their values.
        homes: by what a keyword is, such as `a setting of dm`, which ones are that, and how those are passed: `NAME`
            and `VALUE` in it are replaced.

    Raises:
        BadInputError: a keyword of one of the homes.
        TypeError: any other, as Python has it.
    """
    for name, value in given.items():
        for what, (names, way) in homes.items():
            if name in names:
                raise BadInputError(
                    f"{name} is {what}: pass {way.replace('NAME', name).replace('VALUE', repr(value)[:80])}"
                )
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
