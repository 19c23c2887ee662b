"""What checks find: problems, which a file must not have, and notes, which its reader should know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding about a result; `is_problem` is False for a note: what could not be checked, and why."""

    words: str
    is_problem: bool = True


Findings = Iterator[Finding]


def note(words: str) -> Finding:
    """Return a finding that is no problem."""
    return Finding(words, is_problem=False)


@dataclass(frozen=True)
class Placed:
    """A finding with its place: a line of a file, or 0 for the file as a whole."""

    file: str
    line: int
    finding: Finding

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.finding.words}"
