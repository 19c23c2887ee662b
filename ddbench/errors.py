"""Errors a user can fix: each message says what was expected, what came and what to do."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddbench.distilled.dataset import DistilledDataset


LONGEST_MESSAGE, LONGEST_WORD, SHORTENED_WORD = 300, 160, 80


def tidy(text: str) -> str:
    """Return a message as people get to see it: one line of at most 300 characters, without characters that act.

    Words of over 160 characters keep 80 of them; of a longer message the middle goes, because it ends with what to do.
    Control characters and those that change the direction of text are escaped: names may come from anywhere.
    """
    words = (_shorten(word, SHORTENED_WORD) if len(word) > LONGEST_WORD else word for word in text.split())
    line = re.sub(r"[^\x20-\x7e]", _escape, " ".join(words))
    return _shorten(line, LONGEST_MESSAGE) if len(line) > LONGEST_MESSAGE else line


def _escape(found: re.Match[str]) -> str:
    """Return a character, escaped where it is a control, format, surrogate or unassigned one."""
    character = found[0]
    return ascii(character)[1:-1] if unicodedata.category(character).startswith("C") else character


def _shorten(text: str, length: int) -> str:
    head = length * 2 // 3
    return f"{text[:head]}...{text[head + 3 - length :]}"


class DDBenchError(Exception):
    """Base of every error the command line reports as one line with exit code 2; its text is tidied (see `tidy`)."""

    def __init__(self, message: object = "") -> None:
        super().__init__(tidy(str(message)))


class BadInputError(DDBenchError, ValueError):
    """A value, file or option that cannot be used as given."""


class UnknownNameError(DDBenchError, LookupError):
    """A name that no registry entry has."""


class DataMissingError(DDBenchError, FileNotFoundError):
    """Data that is not on this machine; the message names the command that fetches it."""


class DataMismatchError(DDBenchError):
    """Data that is there but is not what it should be: fingerprint, checksum, shape or class count."""


class UnsupportedError(DDBenchError):
    """A combination a method declares it cannot do; the message is the reason."""


class DivergenceError(DDBenchError):
    """Base of what ends work that would diverge again if it were resumed where it stood."""


class DenoiserDivergedError(DivergenceError):
    """A denoiser whose loss or weights are no longer finite."""


class DivergedError(DivergenceError):
    """A distillation that exploded; the message is the diagnosis.

    Attributes:
        last_good: the distilled set of the last step at which everything was finite and in range.
    """

    def __init__(self, message: str, last_good: DistilledDataset) -> None:
        super().__init__(message)
        self.last_good = last_good

    def __reduce__(self) -> tuple[type[DivergedError], tuple[str, DistilledDataset]]:
        """Let it travel between processes with both of its parts."""
        return DivergedError, (str(self), self.last_good)


_signals: list[int] = []  # that have told this process to end


def note_signal(number: int) -> None:
    """Take down that a signal which ends the run has arrived."""
    _signals.append(number)


def forget_signals() -> None:
    """Let go of them, where the run that they ended has ended."""
    _signals.clear()


def check_not_told_to_end() -> None:
    """Raise KeyboardInterrupt where a signal has told this process to end, which an error may hide.

    Code in C that calls back into Python, such as a reader of files, can meet the KeyboardInterrupt of a signal and
    raise an error of its own instead: then neither is the file damaged nor has the cell failed.
    """
    if _signals:
        raise KeyboardInterrupt
