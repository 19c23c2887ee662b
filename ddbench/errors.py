"""Errors a user can fix: each message says what was expected, what came and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddbench.records import DistilledDataset


class DDBenchError(Exception):
    """Base of every error the command line reports as one line with exit code 2."""


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
